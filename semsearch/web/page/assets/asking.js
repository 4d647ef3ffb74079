// Asks the server, with the key where one is needed, and says what to do where that fails.

const KEY = "semsearch.key";
const RETRIES = new Set(["database_unavailable", "overloaded", "too_many_requests", "provider_busy", "offline"]);

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class Problem extends Error {
  constructor(code, title, detail, retryAfter) {
    super(detail);
    Object.assign(this, { code, title, detail, retryAfter });
  }
  get passes() { return RETRIES.has(this.code); }
}

export const headers = () => (key.get() ? { Authorization: `Bearer ${key.get()}` } : {});

// The answer, or a Problem is thrown; a key is asked for when one is needed.
export async function ask(url, options = {}) {
  let response;
  const sent = key.get();
  try {
    response = await fetch(url, { ...options, headers: { ...headers(), ...options.headers }, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("offline", "The server does not answer", "No connection could be made.");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status !== 401) throw problem;
  if (sent === key.get() && !(await askForKey(sent && problem.detail))) throw problem;
  return ask(url, options);
}

export async function problemOf(response) {
  let said = {};
  try { said = await response.json(); } catch { /* no problem+json: something stands in between */ }
  const after = Number(said.retry_after ?? response.headers.get("Retry-After"));
  const titles = JSON.parse($(".trouble", $("#trouble").content).dataset.titles);
  const title = titles[response.status] ?? said.title ?? `Status ${response.status}`;
  return new Problem(said.code ?? "internal_error", title, said.detail ?? "", after);
}

// One dialog at a time, whoever asks; true when a key was given.
let asking = null;
export function askForKey(problem) {
  asking ??= new Promise((resolve) => {
    const dialog = $("#key-dialog"), input = $("#key");
    $("#key-problem").hidden = !problem;
    $("#key-problem").textContent = problem || "";
    input.value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      asking = null;
      const given = dialog.returnValue === "use" && input.value.trim();
      input.value = "";
      if (given) key.set(given);
      $("#forget").hidden = !key.get();
      resolve(Boolean(given));
    }, { once: true });
    dialog.showModal();
    input.focus();
  });
  return asking;
}

export function sure(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = $("#sure");
    const say = (...texts) => ["#sure-title", "#sure-text", "#sure .danger"].forEach((place, at) => { $(place).textContent = texts[at]; });
    say(title, text, yes);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => { say("", "", ""); resolve(dialog.returnValue === "yes"); }, { once: true });
    dialog.showModal();
    $("[value=no]", dialog).focus();
  });
}

export function say(text) {
  $("#said").textContent = "";
  requestAnimationFrame(() => { $("#said").textContent = text; });
}

let timer = 0;
export function stopRetrying() { clearTimeout(timer); }

// Shows a problem in a place; what passes is tried again by itself, ever more slowly.
let tries = 0;
export function trouble(place, problem, again) {
  stopRetrying();
  const shown = $("#trouble").content.cloneNode(true);
  $("h1", shown).textContent = problem.title;
  $(".detail", shown).textContent = problem.detail;
  for (const advice of $$(".advice", shown)) advice.hidden = advice.dataset.code !== problem.code;
  $(".again", shown).href = location.href;
  $(".again", shown).addEventListener("click", (event) => { event.preventDefault(); event.stopPropagation(); again(); });
  place.replaceChildren(shown);
  if (!problem.passes) return;
  const seconds = Math.max(problem.retryAfter || 0, Math.min(2 ** tries++, 30));
  timer = setTimeout(again, seconds * 1000);
}
export function recovered() { stopRetrying(); tries = 0; }
