/* Live pages. A notice says what changed, never how it looks: the page is fetched again and its parts that carry
   data-live="<name>" are replaced. With data-live-run on <body>, notices about other runs are ignored. The request says
   that it is a refresh (Worka-Refresh), so that a payload that stands outside of those parts is not opened again.
   A part with data-live-every="2" makes the page ask again every two seconds as long as it stands there.
   Without a stream the page asks again every ten seconds while it is seen; without this script one reloads. */
"use strict";
(() => {
  const parts = (root) => new Map([...root.querySelectorAll("[data-live]")].map((part) => [part.dataset.live, part]));
  if (!document.querySelector("[data-live]")) return;
  const run = document.body.dataset.liveRun;
  let timer = 0, busy = false, again = false;

  const isInUse = (part) => {
    const at = document.activeElement;
    return part.contains(at) && at.matches("input, textarea, select") || part.querySelector("details.ask[open]");
  };
  const keepOpen = (before, after) => {
    const open = new Set([...before.querySelectorAll("details[open][id]")].map((fold) => fold.id));
    for (const fold of after.querySelectorAll("details[id]")) fold.open = open.has(fold.id);
    before.querySelectorAll("[data-keep-scroll]").forEach((box, index) => {
      const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
      const other = after.querySelectorAll("[data-keep-scroll]")[index];
      if (other) queueMicrotask(() => { other.scrollTop = atEnd ? other.scrollHeight : box.scrollTop; });
    });
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "Worka-Refresh": "1" }, credentials: "same-origin", redirect: "manual" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = parts(page);
      const symbols = page.getElementById("icons");
      if (symbols) document.getElementById("icons")?.replaceWith(document.importNode(symbols, true));
      for (const [name, part] of parts(document)) {
        const next = fresh.get(name);
        if (!next || isInUse(part) || next.innerHTML === part.innerHTML) continue;
        keepOpen(part, next);
        const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
        part.replaceChildren(...document.importNode(next, true).childNodes);
        if (focused) document.getElementById(focused)?.focus();
      }
      document.dispatchEvent(new CustomEvent("worka:refreshed"));
    } catch { /* offline: the next notice or the next tick asks again */ } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, 250); };

  const isSeen = () => document.visibilityState === "visible";
  let poll = 0;
  const ask = (on) => {
    clearInterval(poll);
    poll = on ? setInterval(() => { if (isSeen()) soon(); }, 10000) : 0;
  };
  // Lines of a log make no notices: while one grows, its part says how often (in seconds) to ask for it.
  const follow = () => {
    const every = Number(document.querySelector("[data-live-every]")?.dataset.liveEvery);
    if (every) setTimeout(async () => { if (isSeen()) await refresh(); follow(); }, every * 1000);
  };
  const heard = (event) => {
    let said = {};
    try { said = JSON.parse(event.data); } catch { /* a notice without words is still a notice */ }
    // That somebody looked at a payload changes nothing that is drawn; looking again because of it would never end.
    if (String(said.type).endsWith(".open")) return;
    if (!run || !said.run || said.run === run) soon();
  };
  let source = null;
  const listen = () => {
    source?.close();
    source = new EventSource("/v1/events/stream");
    source.onopen = () => ask(false);
    source.onmessage = heard;
    source.addEventListener("change", heard);
    source.onerror = () => { ask(true); if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (isSeen()) listen(); }, 30000); };
  };
  // A browser opens few connections to one place: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (!isSeen()) { source?.close(); return; }
    listen();
    soon();
  });
  listen();
  follow();
})();
