// The page: what stands in the address is what is shown, and the other way round.

import { $, $$, ask, key, recovered, say, stopRetrying, sure, trouble } from "./asking.js";
import { accept, choose, ingest } from "./ingesting.js";
import { listen } from "./keyboard.js";
import { unwatch, watch } from "./live.js";

const PAUSE = 120; // ms without typing, after which the query is asked
const REST = 350; // and after which the best sentences are looked for
const main = $("#main");
const under = {}; // what is being asked, by kind: the next one ends it
let typing = 0;
let filtered = false; // a filter has been typed that was not asked for yet
let at = location.search; // what is shown
history.scrollRestoration = "manual";

// ---- asking

async function part(kind, url) {
  under[kind]?.abort();
  const control = (under[kind] = new AbortController());
  busy(1);
  try {
    const response = await ask(url, { signal: control.signal });
    const text = await response.text();
    return { text, title: response.headers.get("X-Title") };
  } finally {
    busy(-1);
  }
}
let count = 0;
function busy(more) {
  count += more;
  $("#busy").classList.toggle("on", count > 0);
  main.setAttribute("aria-busy", count > 0);
}
const ended = (error) => error.name === "AbortError";

// The whole view of an address.
async function view(url = location.href, { top = true, focus = true } = {}) {
  clearTimeout(typing);
  for (const kind of Object.keys(under)) under[kind].abort();
  stopRetrying();
  const query = (at = new URL(url).search);
  try {
    const { text, title } = await part("main", `/page/main${query}`);
    main.innerHTML = text;
    document.title = title ? decodeURIComponent(title) : "semsearch";
    recovered();
    if (top) scrollTo(0, 0);
    shown(focus);
  } catch (error) {
    if (ended(error)) return;
    unwatch();
    trouble(main, error, () => view(url));
  }
}

function shown(focus = true) {
  const query = new URLSearchParams(location.search);
  const current = query.get("view") ? "collections" : "search";
  for (const link of $$(".top nav a")) link.toggleAttribute("aria-current", link.dataset.view === current && !query.has("document"));
  watch(() => view(location.href, { top: false, focus: false }));
  const here = $(".chunk.here");
  if (here) here.scrollIntoView({ block: "center" });
  const kept = history.state?.chunk && $(`.hit[data-chunk="${CSS.escape(history.state.chunk)}"] .open`);
  if (history.state?.y) scrollTo(0, history.state.y);
  if (kept) kept.focus({ preventScroll: true });
  else if (focus) ($("h1[tabindex]") ?? (isBlank() ? $("#q") : main)).focus({ preventScroll: true });
  if ($("#hits")?.dataset.said) say($("#hits").dataset.said);
}

const isBlank = () => $("#q")?.value === "" && !$("#ask [name=like]");

// ---- the state of the form is the address

function address() {
  const given = new FormData($("#ask")), pairs = new URLSearchParams();
  for (const [name, value] of given) {
    if (value === "" || (name === "mode" && value === "vector") || (name === "top_k" && value === "10")) continue;
    if (name === "like" && given.get("q")) continue;
    pairs.append(name, value);
  }
  return `/?${pairs}`;
}

// The same question to another collection, whose filters and documents are others.
function elsewhere() {
  const asked = new URLSearchParams(address().slice(1));
  for (const name of [...asked.keys()]) if (!["collection", "q", "mode"].includes(name)) asked.delete(name);
  return `/?${asked}`;
}

async function hits({ replace = false, filters = false } = {}) {
  clearTimeout(typing);
  const url = address();
  if (url !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", url);
  const query = (at = url.slice(1));
  filters ||= filtered;
  filtered = false;
  if (filters) facets(query);
  try {
    const quick = await part("hits", `/page/hits${query}&quick=1`);
    under.marks?.abort();
    $("#results").innerHTML = quick.text;
    recovered();
    const found = $("#hits");
    say(found.dataset.said);
    document.title = [$("#q").value, $("#collection").value, "semsearch"].filter(Boolean).join(" · ");
    if (found.dataset.quick === "yes") typing = setTimeout(() => marks(query), REST);
  } catch (error) {
    if (!ended(error) && $("#results")) trouble($("#results"), error, () => hits({ replace: true, filters }));
  }
}

// The best sentence of each hit, which the model reads once nobody types any more.
async function marks(query) {
  try {
    const { text } = await part("marks", `/page/hits${query}`);
    const found = new DOMParser().parseFromString(text, "text/html");
    for (const hit of $$(".hit", found)) {
      const there = $(`.hit[data-chunk="${CSS.escape(hit.dataset.chunk)}"]`);
      if (!there) continue;
      $(".excerpt", there).replaceWith($(".excerpt", hit));
      $(".open", there).href = $(".open", hit).getAttribute("href");
    }
  } catch { /* the hits are there without */ }
}

async function facets(query) {
  const asked = filledIn();
  try {
    const { text } = await part("facets", `/page/facets${query}`);
    if (filledIn() !== asked) return; // somebody has typed on meanwhile, which is asked for next
    const was = document.activeElement, open = $$("#facets details[open]").map((one) => one.parentElement.dataset.field);
    $("#facets").innerHTML = text;
    for (const name of open) { const more = $(`#facets [data-field="${CSS.escape(name)}"] details`); if (more) more.open = true; }
    if (was?.name && !was.isConnected) $$(`#facets [name="${CSS.escape(was.name)}"]`).find((one) => one.type !== "checkbox" || one.value === was.value)?.focus();
    const set = $$("#facets input").filter((one) => (one.type === "checkbox" ? one.checked : one.value)).length;
    $("#filters-set").textContent = set || "";
  } catch { /* what is wrong with a filter, the hits say */ }
}

const filledIn = () => $$("#facets input").map((one) => (one.type === "checkbox" ? one.checked : one.value)).join("\n");

// ---- events

document.addEventListener("input", (event) => {
  if (!$("#ask") || !event.target.matches("#q, [form=ask]:not([type=checkbox]), #ask [name=tenant]")) return;
  clearTimeout(typing);
  const isQuery = event.target.id === "q";
  if (isQuery) $("#ask [name=like]")?.remove();
  else filtered = true;
  typing = setTimeout(() => hits({ replace: true }), isQuery ? PAUSE : 3 * PAUSE);
});
document.addEventListener("change", (event) => {
  if (event.target.id === "collection") go(elsewhere());
  else if (event.target.matches("#ask input[type=radio], #ask select, #ask input[type=checkbox]")) hits();
  else if (event.target.matches("[form=ask][type=checkbox]")) hits({ filters: true });
});
document.addEventListener("submit", (event) => {
  if (event.target.id !== "ask") return;
  event.preventDefault();
  hits();
});

export function go(url) {
  const hit = document.activeElement?.closest?.(".hit");
  history.replaceState({ ...history.state, y: scrollY, chunk: hit?.dataset.chunk }, "");
  history.pushState({ from: location.href }, "", url);
  return view(new URL(url, location.href).href);
}
addEventListener("popstate", () => {
  if (location.search !== at) view(location.href, { top: !history.state?.y }); // else only the part behind # is another
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[href]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname !== "/" || url.hash) return;
    event.preventDefault();
    if (link.closest(".more") && $("#hits")) { more(link, url); return; }
    if (link.closest(".hit")) link.focus();
    if (link.id === "back" && history.state?.from === url.href) history.back(); else go(link.getAttribute("href"));
    return;
  }
  const button = event.target.closest("button");
  if (button) pressed(button);
});

async function more(link, url) {
  link.setAttribute("aria-disabled", "true");
  try {
    const { text } = await part("more", `/page/hits${url.search}`);
    const found = new DOMParser().parseFromString(text, "text/html");
    const added = $$(".hit", found);
    link.closest(".more").replaceWith(...$$(".more", found));
    $(".hits").append(...added);
    if (added.length) $(".open", added[0]).focus();
    else $$(".open").at(-1)?.focus(); // the last there was: the link that had the focus is gone
    say(added.length ? `${added.length} more` : "No more");
  } catch (error) {
    if (!ended(error)) trouble(link.closest(".more"), error, () => more(link, url));
  }
}

// Parts that are only asked for when they are opened.
document.addEventListener("toggle", async (event) => {
  const place = event.target.open && $("[data-load]", event.target);
  if (!place || place.dataset.loaded) return;
  place.dataset.loaded = "yes";
  try {
    place.innerHTML = (await part(place.dataset.load, place.dataset.load)).text;
  } catch (error) {
    delete place.dataset.loaded;
    if (!ended(error)) trouble(place, error, () => { event.target.open = false; });
  }
}, true);

async function pressed(button) {
  if (button.id === "keys") $("#help").showModal();
  if (button.id === "theme") theme();
  if (button.id === "forget") { key.forget(); location.reload(); } // so that nothing that was shown stays anywhere
  if (button.id === "delete") remove(button.closest(".document").dataset);
  if (button.closest("#uploads")) { $("#uploads").hidden = true; $("#uploads ul").replaceChildren(); }
  if (button.matches(".copy")) copy(button);
  if (button.dataset.choose) choose((files) => bring(button.dataset.choose, files));
  if (button.dataset.failures) failures(button);
}

// Browsers have no clipboard for pages that come by plain HTTP from elsewhere, and may refuse it: then the text is selected.
async function copy(button) {
  const place = $("pre", button.parentElement);
  try {
    await navigator.clipboard.writeText(place.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(place);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

async function remove({ collection, document: id }) {
  if (!(await sure("Delete this document?", `${id} and its chunks are removed from ${collection}.`, "Delete"))) return;
  const query = new URLSearchParams(ofTenant());
  try {
    await ask(`/v1/collections/${encodeURIComponent(collection)}/documents/delete?${query}`, post({ ids: [id] })); // in a body any id will do
    await go($("#back").getAttribute("href"));
    say(`${id} was deleted`);
  } catch (error) { trouble(main, error, () => view()); }
}

async function failures(button) {
  const { collection } = button.closest(".failures").dataset;
  const id = button.closest(".card")?.dataset.document;
  const retry = button.dataset.failures === "retry";
  const chosen = { ...(id === undefined ? {} : { document_id: id }), ...ofTenant() };
  const which = id ?? `all failures of ${[collection, chosen.tenant].filter(Boolean).join(", ")}`;
  if (!retry && !(await sure("Forget?", `${which}: the documents stay, without chunks.`, "Forget"))) return;
  const base = `/v1/collections/${encodeURIComponent(collection)}/failures`;
  try {
    await ask(...(retry ? [`${base}/retry`, post(chosen)] : [`${base}?${new URLSearchParams(chosen)}`, { method: "DELETE" }]));
    await view(location.href, { top: false, focus: false });
    say(retry ? `${which}: tried again` : `${which}: forgotten`);
  } catch (error) { trouble(main, error, () => view()); }
}

// Whose documents are shown: what is done to all of them is done to these alone.
function ofTenant() {
  const tenant = new URLSearchParams(location.search).get("tenant");
  return tenant ? { tenant } : {};
}

const post = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function bring(collection, files) {
  const tenant = $("#ask [name=tenant]")?.value;
  ingest(collection, files, tenant, (into) => {
    if ($("#ask")?.dataset.collection === into) hits({ replace: true, filters: true });
  });
}

// ---- colours: as the system, light, dark

function theme() {
  const next = { undefined: "light", light: "dark", dark: undefined }[document.documentElement.dataset.theme];
  if (next) document.documentElement.dataset.theme = next; else delete document.documentElement.dataset.theme;
  try { if (next) localStorage.setItem("semsearch.theme", next); else localStorage.removeItem("semsearch.theme"); } catch { /* not kept */ }
  coloured();
}
function coloured() {
  $("#theme").ariaLabel = `Colours: ${document.documentElement.dataset.theme ?? "as the system"}`;
}

coloured();
listen(go);
accept(bring);
$("#forget").hidden = !key.get();
if ("waiting" in main.dataset) view(); else shown(isBlank());
