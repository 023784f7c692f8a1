"""The pages: server-rendered, complete without JavaScript. One module for each place in the navigation."""

from sekisho.portal.pages import account, assets, log, people, requests, rooms, second_factor, sessions, signing

ROUTERS = (assets.ROUTER, signing.ROUTER, rooms.ROUTER, requests.ROUTER, sessions.ROUTER, log.ROUTER, people.ROUTER, account.ROUTER, second_factor.ROUTER)
