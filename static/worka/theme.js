/* The theme: auto follows the system; a choice is kept in this browser. Loaded before the page is drawn. */
"use strict";
(() => {
  const root = document.documentElement;
  const words = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const set = (theme) => {
    root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.title = words[theme];
      button.setAttribute("aria-label", words[theme]);
    }
  };
  const now = () => (kept() in words ? kept() : "auto");
  root.dataset.theme = now();
  document.addEventListener("DOMContentLoaded", () => set(now()));
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-switch]")) return;
    const order = Object.keys(words);
    const next = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
    try { localStorage.setItem("theme", next); } catch { /* private mode: the choice lasts for this page */ }
    set(next);
  });
})();
