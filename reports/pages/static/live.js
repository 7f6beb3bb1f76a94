// A session's page goes on by itself while the session does: the part that changes is asked for again.
"use strict";
(() => {
  const part = document.getElementById("live");
  const said = document.getElementById("said");
  if (!part || !part.dataset.url) return;
  const seconds = 2;
  let phase = part.dataset.phase;
  let misses = 0;
  async function again() {
    if (!document.hidden) {
      try {
        const answer = await fetch(part.dataset.url, { credentials: "same-origin", redirect: "manual" });
        if (answer.type === "opaqueredirect") {
          location.reload();
          return;
        }
        if (!answer.ok) throw new Error(String(answer.status));
        misses = 0;
        const text = await answer.text();
        const page = new DOMParser().parseFromString(text, "text/html").getElementById("live");
        // who reads or types in it is not disturbed by what stays the same
        if (page && page.innerHTML !== part.innerHTML) part.innerHTML = page.innerHTML;
        if (page && page.dataset.phase !== phase) {
          phase = page.dataset.phase;
          said.textContent = `The session is ${phase} now`;
        }
        if (page && page.dataset.over === "yes") return;
      } catch (error) {
        misses += 1;
        if (misses === 3) said.textContent = "The broker doesn't answer; still trying";
      }
    }
    setTimeout(again, seconds * 1000 * Math.min(2 ** misses, 16));
  }
  setTimeout(again, seconds * 1000);
})();
