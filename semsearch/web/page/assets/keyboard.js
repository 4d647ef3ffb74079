// Everything can be done with the keyboard alone.

import { $, $$ } from "./asking.js";

const OFF = "semsearch.letters"; // kept where single letters are off: whoever dictates would press them unawares

export function listen(go) {
  const letters = $("#letters");
  try { letters.checked = localStorage.getItem(OFF) === null; } catch { /* storage is off */ }
  letters.addEventListener("change", () => {
    try { if (letters.checked) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "off"); } catch { /* not kept */ }
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("dialog[open]")) return;
    const writes = event.target.matches("input:not([type=checkbox], [type=radio]), select, textarea");
    const act = writes ? writing(event) : reading(event, go);
    if (act) { event.preventDefault(); act(); }
  });
}

function writing(event) {
  const input = event.target;
  if (event.key === "Escape") return () => (input.value && input.id === "q" ? clear(input) : input.blur());
  if (event.key === "ArrowDown" && input.id === "q" && $(".open")) return () => move(1);
  return null;
}

function clear(input) {
  input.value = "";
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

function reading(event, go) {
  if (event.key.length === 1 && !$("#letters").checked) return null;
  const arrows = !event.target.matches("input, summary, [tabindex='0']");
  switch (event.key) {
    case "/": return $("#q") ? () => { $("#q").focus(); $("#q").select(); } : () => go("/");
    case "j": return () => move(1);
    case "k": return () => move(-1);
    case "ArrowDown": return arrows && inHits(event) ? () => move(1) : null;
    case "ArrowUp": return arrows && inHits(event) ? () => move(-1) : null;
    case "m": return () => (event.target.closest(".hit") ?? document).querySelector(".like-this")?.click();
    case "c": return () => go("/?view=collections");
    case "?": return () => $("#help").showModal();
    case "Escape": return escape();
    default: return null;
  }
}

const inHits = (event) => event.target.matches(".open");

function escape() {
  if (!$("#uploads").hidden) return () => { $("#uploads").hidden = true; };
  return $("#back") ? () => $("#back").click() : $("#q") ? () => $("#q").focus() : null;
}

// To the next hit, or chunk or collection; before the first one stands the query.
function move(step) {
  const places = $$(".open, .chunk .border, .cards h2 a");
  const at = places.findIndex((place) => place === document.activeElement || place.closest(".hit, .chunk, .card")?.contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? start(places) : -1) : at + step;
  if (next < 0) { $("#q")?.focus(); return; }
  const place = places[Math.min(next, places.length - 1)];
  place?.focus({ preventScroll: true });
  place?.closest(".hit, .chunk, .card").scrollIntoView({ block: "nearest" });
}

const start = (places) => Math.max(0, places.findIndex((place) => place.closest(".here")));
