// What pages gain where JavaScript runs: a countdown, news said to screen readers, and no form sent twice. Everything works without it.

"use strict";

const announcer = () => document.getElementById("announcer");

function remaining(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ""}${hours ? two(Math.floor(seconds / 60) % 60) : Math.floor(seconds / 60) % 60}:${two(seconds % 60)}`;
}

function countDown() {
  for (const shown of document.querySelectorAll("[data-until]")) {
    shown.textContent = shown.dataset.words.replace("{left}", remaining(Date.parse(shown.dataset.until) - Date.now()));
  }
}

const news = () => new Map([...document.querySelectorAll("[data-news]")].map((shown) => [shown.id, shown.dataset.news]));

let known = new Map();

function announceNews() {
  const now = news();
  const fresh = [...now].filter(([id, said]) => known.get(id) !== said).map(([, said]) => said);
  known = now;
  if (fresh.length && announcer()) announcer().textContent = fresh.join(" ");
}

function sendOnce(event) {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
}

document.addEventListener("DOMContentLoaded", () => {
  known = news();
  countDown();
  setInterval(countDown, 1000);
  document.querySelector("[data-focus]")?.focus();
});
// A page that nobody looks at or touches asks for nothing: else it would keep a forgotten sign-in from ending by itself.
let touchedAt = Date.now();
for (const kind of ["pointerdown", "pointermove", "keydown", "scroll"]) {
  document.addEventListener(kind, () => { touchedAt = Date.now(); }, { passive: true, capture: true });
}
document.addEventListener("htmx:config:request", (event) => {
  if (document.hidden || Date.now() - touchedAt > 20 * 60 * 1000) event.preventDefault();
});

document.addEventListener("submit", sendOnce);
document.addEventListener("htmx:after:swap", () => { countDown(); announceNews(); });
// A page taken out of the browser's back-forward cache may show what is over, and forms that were sent.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
