// Before the first paint: the colours that were chosen here, if any were.
try {
  const chosen = localStorage.getItem("semsearch.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* storage is off: as the system */ }
