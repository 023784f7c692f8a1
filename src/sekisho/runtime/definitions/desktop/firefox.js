// What no policy says. A room reaches listed names alone: whatever Firefox asks of its makers would only be refused, and fill the log.

// Names: IPv4 from the room's own name server, nothing else; the name itself must be seen when a connection opens.
pref("network.dns.disableIPv6", true, locked);
pref("network.dns.native_https_query", false, locked);
pref("network.dns.upgrade_with_https_rr", false, locked);
pref("network.dns.use_https_rr_as_altsvc", false, locked);
pref("network.http.http3.enable", false, locked);
pref("network.trr.mode", 5, locked);
pref("browser.fixup.alternate.enabled", false, locked);

// Is there a network? There is what is listed.
pref("network.connectivity-service.enabled", false, locked);
pref("network.manage-offline-status", false, locked);

// Revocation by OCSP asks the certificate's maker, who is not listed; CRLite's lists come from Mozilla, who is not either.
pref("security.OCSP.enabled", 0, locked);
pref("security.remote_settings.crlite_filters.enabled", false, locked);
pref("security.remote_settings.intermediates.enabled", false, locked);

// The policy stops one of two clients of Mozilla's settings; the other one asks this server, if the environment has MOZ_REMOTE_SETTINGS_DEVTOOLS.
pref("services.settings.server", "data:,#remote-settings-dummy/v1", locked);

pref("app.normandy.enabled", false, locked);
pref("app.feedback.baseURL", "", locked);
pref("breakpad.reportURL", "", locked);
pref("browser.contentblocking.report.lockwise.enabled", false, locked);
pref("browser.discovery.enabled", false, locked);
pref("browser.region.network.url", "", locked);
pref("browser.region.update.enabled", false, locked);
pref("browser.safebrowsing.blockedURIs.enabled", false, locked);
pref("browser.safebrowsing.downloads.enabled", false, locked);
pref("browser.safebrowsing.downloads.remote.enabled", false, locked);
pref("browser.safebrowsing.malware.enabled", false, locked);
pref("browser.safebrowsing.phishing.enabled", false, locked);
pref("browser.safebrowsing.provider.google4.updateURL", "", locked);
pref("browser.safebrowsing.provider.google5.updateURL", "", locked);
pref("browser.safebrowsing.provider.mozilla.updateURL", "", locked);
pref("browser.search.update", false, locked);
pref("browser.search.serpEventTelemetryCategorization.enabled", false, locked);
pref("browser.topsites.contile.enabled", false, locked);
pref("datareporting.policy.dataSubmissionEnabled", false, locked);
pref("datareporting.usage.uploadEnabled", false, locked);
pref("dom.push.enabled", false, locked);
pref("dom.private-attribution.submission.enabled", false, locked);
pref("extensions.blocklist.enabled", false, locked);
pref("extensions.getAddons.cache.enabled", false, locked);
pref("extensions.getAddons.showPane", false, locked);
pref("extensions.htmlaboutaddons.recommendations.enabled", false, locked);
pref("extensions.systemAddon.update.enabled", false, locked);
pref("extensions.systemAddon.update.url", "", locked);
pref("media.gmp-manager.updateEnabled", false, locked);
pref("media.gmp-manager.url", "data:text/plain,", locked);
pref("media.gmp-provider.enabled", false, locked);
pref("messaging-system.rsexperimentloader.enabled", false, locked);
pref("privacy.trackingprotection.allow_list.baseline.enabled", false, locked);
pref("toolkit.telemetry.enabled", false, locked);
pref("toolkit.telemetry.server", "", locked);
pref("toolkit.telemetry.unified", false, locked);
pref("webchannel.allowObject.urlWhitelist", "", locked);

// Nothing asks, greets or moves; a page's memory is the room's memory, once.
pref("browser.aboutConfig.showWarning", false);
pref("browser.aboutwelcome.enabled", false, locked);
pref("browser.cache.disk.enable", false, locked);
pref("browser.download.alwaysOpenPanel", true);
pref("browser.ml.enable", false, locked);
pref("browser.preonboarding.enabled", false, locked);
pref("browser.profiles.enabled", false, locked);
pref("browser.sessionstore.resume_from_crash", true);
pref("browser.startup.couldRestoreSession.count", 2, locked);
pref("browser.startup.homepage_override.mstone", "ignore", locked);
pref("browser.startup.upgradeDialog.enabled", false, locked);
pref("browser.tabs.firefox-view", false);
pref("browser.tabs.groups.smart.enabled", false, locked);
pref("browser.uitour.enabled", false, locked);
pref("general.smoothScroll", false);
pref("places.database.growthIncrementKiB", 512, locked);
pref("sidebar.revamp", false);
pref("toolkit.cosmeticAnimations.enabled", false);
pref("ui.prefersReducedMotion", 1);
