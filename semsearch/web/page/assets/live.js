// What goes on, as it goes on: the server's events keep the overview up to date while it is looked at.

import { $, $$, ask } from "./asking.js";

const format = new Intl.NumberFormat("en");
const number = (value) => (value === null ? "–" : format.format(value));  // null: what is not told
let stop = null;

// Reads the events until told to stop; EventSource could not send a key.
export function watch(onOther) {
  unwatch();
  if (!$("#collections")) return;
  const control = new AbortController();
  stop = control;
  follow(control.signal, onOther);
}
export function unwatch() { stop?.abort(); stop = null; }

async function follow(signal, onOther) {
  for (let wait = 1; !signal.aborted; wait = Math.min(wait * 2, 30)) {
    let ended = false; // as the server ends every stream after a while: that is no loss
    try {
      const response = await ask("/v1/events", { signal, headers: { Accept: "text/event-stream" } });
      told("live");
      for await (const event of events(response.body)) {
        [wait, ended] = [1, true];
        if (event.name === "status" && !signal.aborted) show(JSON.parse(event.data), onOther);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "unauthorized") { told("not live without a key"); return; }
      ended = false;
    }
    if (signal.aborted) return;
    if (!ended) told(`connection lost, trying again in ${wait} s`);
    await new Promise((resolve) => { setTimeout(resolve, wait * 1000); signal.addEventListener("abort", resolve); });
  }
}

export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = (rest + value).replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
      const data = fields.filter(([, name]) => name === "data").map(([, , text]) => text).join("\n");
      if (data) yield { name: fields.find(([, name]) => name === "event")?.[2] ?? "message", data };
    }
  }
}

function told(text) {
  const place = $("#live");
  if (place) { place.hidden = false; place.textContent = text; place.classList.toggle("on", text === "live"); }
}

function show(data, onOther) {
  const statuses = data.collections ?? data;
  const cards = new Map($$("#collections .card").map((card) => [card.dataset.name, card]));
  if (statuses.length !== cards.size || statuses.some((one) => !cards.has(one.name))) { onOther(); return; }
  for (const one of statuses) {
    const card = cards.get(one.name);
    const put = (name, text) => { const place = $(`[data-live=${name}]`, card); if (place.textContent !== text) place.textContent = text; };
    for (const name of ["documents", "chunks", "backlog", "failed"]) put(name, number(one[name]));
    put("rate", one.rate ? `${one.rate.toFixed(1)}/s` : "–");
    put("bytes", size(one.bytes));
    put("state", one.state === "active" ? "" : one.state ?? "");
    put("reason", one.reason ?? "");
    const rest = one.documents - one.stored_documents; // of blank text, if nothing waits and nothing has failed
    const done = one.documents > 0 && one.backlog === 0 && one.failed === 0;
    const share = one.coverage === null ? (one.documents ? "–" : "empty") : `${Math.floor(one.coverage * 1000) / 10} %`;
    put("coverage", done && rest > 0 ? `${share}, ${number(rest)} without chunks` : share);
    $("[data-live=reason]", card).hidden = !one.reason;
    $("[data-live=failed]", card).setAttribute("aria-label", `Failures of ${one.name}: ${number(one.failed)}`);
    $("progress", card).value = done ? 1 : one.coverage ?? 0;
  }
}

export function size(bytes) {
  if (bytes === null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; bytes >= 1024 && at < 4; at++) bytes /= 1024;
  return `${Number(bytes.toFixed(1))} ${units[at]}`;
}
