/* Keys, where nothing is being typed: j and k walk the list, Enter opens; on an approval a and r go to its answers. */
"use strict";
(() => {
  // A radio button (the view of a payload) takes arrows, not letters.
  const typing = (at) => at.matches?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
  const go = (link) => { const to = document.querySelector(`link[rel="${link}"]`); if (to) location.assign(to.href); };
  const answer = (verdict) => {
    const button = document.querySelector(`button[name="verdict"][value="${verdict}"]`);
    const reason = document.getElementById("because");
    if (!button || !reason) return false;
    if (!reason.value.trim()) { reason.focus(); reason.scrollIntoView({ block: "center" }); return true; }
    button.focus();
    return true;
  };
  const walk = (step) => {
    const rows = [...document.querySelectorAll("[data-row] a.title, a[data-row]")];
    if (!rows.length) return go(step > 0 ? "next" : "prev");
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(Math.max(at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step, 0), rows.length - 1)].focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "j") walk(1);
    else if (event.key === "k") walk(-1);
    else if (event.key === "a" && answer("approve")) event.preventDefault();
    else if (event.key === "r" && answer("reject")) event.preventDefault();
  });
})();
