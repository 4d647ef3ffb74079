// Files that are dropped or chosen go into a collection, one after the other; the list says what became of each.

import { $, Problem, headers, askForKey, problemOf, say } from "./asking.js";
import { size } from "./live.js";

const queue = [];
let running = false;

export function ingest(collection, files, tenant, onDone) {
  for (const file of files) {
    const line = document.createElement("li");
    const name = Object.assign(document.createElement("bdi"), { textContent: file.name });
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0, ariaLabel: `Upload of ${file.name}` });
    const said = Object.assign(document.createElement("span"), { className: "hint", textContent: `waits, ${size(file.size)}` });
    line.append(name, bar, said);
    $("#uploads ul").append(line);
    queue.push({ collection, file, tenant, line, bar, said, onDone });
  }
  $("#uploads").hidden = false;
  run();
}

async function run() {
  if (running) return;
  running = true;
  for (let next; (next = queue.shift());) {
    try {
      done(next, await send(next));
    } catch (error) {
      finish(next, "bad", error.detail || error.title || String(error));
    }
  }
  running = false;
}

function finish({ line, bar, said, file }, state, text) {
  line.className = state;
  bar.remove();
  said.textContent = text;
  say(`${file.name}: ${text}`);
}

function done(upload, report) {
  const parts = [];
  for (const what of ["added", "changed", "unchanged"]) if (report[what]) parts.push(`${report[what]} ${what}`);
  const failed = (report.failed ?? []).map((one) => `${one.id}: ${one.reason}`);
  const broken = (report.broken ?? []).map((one) => `${one.where}: ${one.reason}`);
  const wrong = [...failed, ...broken];
  const text = [parts.join(", ") || (wrong.length ? "nothing came in" : "no documents in it"), ...wrong.slice(0, 5)].join("; ");
  finish(upload, wrong.length ? "bad" : "good", wrong.length > 5 ? `${text}; and ${wrong.length - 5} more` : text);
  upload.onDone(upload.collection);
}

// XMLHttpRequest, since fetch does not tell how far an upload is.
function send(upload) {
  const { collection, file, tenant, bar, said } = upload;
  const largest = Number($("#uploads").dataset.largest);
  if (file.size > largest) return Promise.reject(new Problem("too_large", "", `larger than ${size(largest)}: use semsearch ingest`));
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = tenant ? `?tenant=${encodeURIComponent(tenant)}` : "";
    request.open("PUT", `/v1/collections/${encodeURIComponent(collection)}/files/${encodeURIComponent(file.name)}${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      bar.value = event.loaded / event.total;
      said.textContent = event.loaded < event.total ? `${size(event.loaded)} of ${size(event.total)}` : "read and embedded …";
      if (event.loaded === event.total) bar.removeAttribute("value");
    };
    request.onerror = () => reject(new Problem("offline", "", "the server does not answer"));
    request.onload = () => resolve(answered(request, upload));
    said.textContent = "sending …";
    request.send(file);
  });
}

async function answered(request, upload) {
  const response = new Response(request.response, { status: request.status, headers: { "Retry-After": request.getResponseHeader("Retry-After") ?? "" } });
  if (response.status === 401 && (await askForKey("This needs a key that may write."))) return send(upload);
  if (!response.ok) throw await problemOf(response);
  try {
    return await response.json();
  } catch {
    throw new Problem("internal_error", "", "what the server answered is no report");
  }
}

// Dropping: anywhere on a view or a card that takes files.
export function accept(onFiles) {
  const target = (event) => event.target.closest?.("[data-takes-files]") ?? $("form[data-takes-files]");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const veil = $("#drop");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const place = target(event);
    event.dataTransfer.dropEffect = place ? "copy" : "none";
    veil.hidden = !place;
    if (place) $("b", veil).textContent = nameOf(place);
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) veil.hidden = true; });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const place = target(event);
    if (place) onFiles(nameOf(place), [...event.dataTransfer.files]);
  });
}
const nameOf = (place) => place.dataset.name ?? place.dataset.collection;

export function choose(onFiles) {
  const input = Object.assign(document.createElement("input"), { type: "file", multiple: true });
  input.addEventListener("change", () => onFiles([...input.files]));
  input.click();
}
