// What the pages of a room have around what is shown: the words, the bar, the time that is left, notices, and the question before leaving.

import { Countdown } from "./countdown.js";

const SPOKEN_SECONDS = 12;

export const byId = (id) => document.getElementById(id);

export function takeTicket() {
  const ticket = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname); // it is used once; it stays neither in the address nor in the history
  return ticket;
}

export async function makeFrame(on) { return new Frame(await (await fetch("/static/words.json")).json(), on); }

class Frame {
  // on: {worded(), leave(), stay(), over()}: the words were written anew; the person leaves, stays after all; nothing of the room may be seen any more.
  constructor(words, on) {
    this.words = words;
    this.on = on;
    this.language = navigator.language.startsWith("ja") ? "ja" : "en";
    this.welcome = null;
    this.silence = null;
    this.countdown = new Countdown({ show: (seconds) => this.showLeft(seconds), speak: (minutes) => this.speak(this.say("minutesLeft", { minutes })) });
    byId("leave").addEventListener("click", () => this.askBeforeLeaving());
    byId("leave-dialog").addEventListener("close", () => this.answered(byId("leave-dialog").returnValue));
  }

  say(name, facts = {}) { return filled(this.words[this.language][name], facts); }

  sentence({ reason, sentence, facts }) {
    const known = this.words[this.language].refused[reason];
    return known ? filled(known, facts) : sentence;
  }

  showWords() {
    document.documentElement.lang = this.language;
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = this.say(element.dataset.word);
    for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", this.say(element.dataset.label));
    this.on.worded();
  }

  admitted(welcome) {
    this.welcome = welcome;
    this.language = welcome.language in this.words ? welcome.language : "en";
    this.showWords();
    document.title = `${welcome.title} – Sekisho`;
    byId("title").textContent = welcome.title;
    byId("person").textContent = welcome.person;
    byId("leave").disabled = false;
    byId("notice").hidden = true;
    this.countdown.start(welcome.ends_at, welcome.now);
  }

  extended(endsAt) {
    this.countdown.set(endsAt);
    this.speak(this.say("extended"));
  }

  lost() { this.notice(this.say(this.welcome ? "reconnecting" : "connecting"), "", { isPassing: true }); }

  refused(refusal) { this.finish(this.sentence(refusal), refusal.reason); }

  ended(reason) { this.finish(this.words[this.language].ended[reason] ?? this.sentence({ reason, sentence: this.say("over"), facts: {} }), reason); }

  finish(text, reason) {
    this.countdown.stop();
    this.showLeftText("");
    byId("leave").disabled = true;
    byId("leave-dialog").close("stay");
    this.on.over();
    this.notice(text, reason, { isPassing: false });
    byId("notice-link").focus();
  }

  askBeforeLeaving() {
    byId("leave-dialog").returnValue = "stay"; // Escape leaves what was answered the last time
    byId("leave-dialog").showModal();
  }

  answered(answer) {
    if (answer === "leave") this.on.leave();
    else if (!byId("leave").disabled) this.on.stay();
  }

  notice(text, reason, { isPassing }) {
    byId("notice").className = isPassing ? "passing" : "";
    byId("notice").hidden = false;
    byId("notice-text").textContent = text;
    byId("notice-reason").textContent = reason ? `(${reason})` : "";
    byId("notice-link").hidden = isPassing;
  }

  speak(text) {
    clearTimeout(this.silence);
    byId("spoken").textContent = "";
    requestAnimationFrame(() => { byId("spoken").textContent = text; });
    this.silence = setTimeout(() => { byId("spoken").textContent = ""; }, SPOKEN_SECONDS * 1000);
  }

  showLeft(seconds) {
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    this.showLeftText(`${this.say("left")} ${hours ? `${hours}:` : ""}${two((seconds % 3600) / 60)}:${two(seconds % 60)}`);
    for (const element of document.querySelectorAll("[data-left]")) element.classList.toggle("soon", seconds <= 600);
  }

  showLeftText(text) { for (const element of document.querySelectorAll("[data-left]")) element.textContent = text; }
}

function filled(text, facts) { return text.replace(/\{(\w+)\}/g, (_, name) => facts[name] ?? "?"); }
