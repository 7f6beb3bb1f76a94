// What of a page somebody can't use: one line each.
() => {
  const faults = [];
  const shown = e => !!(e.offsetWidth || e.offsetHeight || e.getClientRects().length);
  const name = e => (e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") || "").split(" ")
    .map(id => document.getElementById(id)?.textContent || "").join(" ") || e.textContent || e.title).trim();
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title) faults.push("no title");
  for (const landmark of ["header", "main", "footer"])
    if (document.querySelectorAll(`body > ${landmark}`).length !== 1) faults.push(`not one ${landmark}`);
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  let level = 1;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const here = Number(heading.tagName[1]);
    if (here > level + 1) faults.push(`h${here} after h${level}: ${heading.textContent}`);
    level = here;
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (e.closest("svg")) continue;
    if (ids.has(e.id)) faults.push(`id twice: ${e.id}`);
    ids.add(e.id);
  }
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of `${e.getAttribute("aria-labelledby") || ""} ${e.getAttribute("aria-describedby") || ""}`.split(" "))
      if (id && !document.getElementById(id)) faults.push(`nothing is called ${id}`);
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!e.labels.length && !e.getAttribute("aria-label")) faults.push(`no label: ${e.name}`);
  for (const e of document.querySelectorAll("a, button, [role=region], [role=img], nav, pre[tabindex]"))
    if (!name(e)) faults.push(`no name: ${e.outerHTML.slice(0, 80)}`);
  for (const e of document.querySelectorAll("table"))
    if (!e.querySelector("th[scope=col]")) faults.push("a table without headings");
  const visible = [...document.querySelectorAll("nav ul a")].filter(e => e.getAttribute("aria-current") === "page");
  if (document.querySelector("nav") && visible.length > 1) faults.push("two current pages");
  for (const e of document.querySelectorAll(".wide, .picture"))
    if (e.scrollWidth > e.clientWidth && e.tabIndex < 0) faults.push("scrolls, but not by keyboard");
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page scrolls sideways");
  // contrast (WCAG 2.2, 1.4.3): of each text with what is behind it
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = text => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (let at = e; at; at = at.parentElement) {
      const found = rgba(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  // in a picture, what was painted last before the text, where the middle of the text is
  const painted = e => {
    const box = e.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const under = [...e.ownerSVGElement.querySelectorAll("path, rect, circle, use")].filter(shape => {
      if (!(shape.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) return false;
      if (shape.closest("defs, clipPath") || rgba(getComputedStyle(shape).fill)[3] !== 255) return false;
      if (getComputedStyle(shape).fill === "none") return false;
      if (shape.tagName !== "use")
        return shape.isPointInFill(new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse()));
      const { left, right, top, bottom } = shape.getBoundingClientRect();
      return left < x && x < right && top < y && y < bottom;
    });
    return under.length ? rgba(getComputedStyle(under[under.length - 1]).fill) : behind(e.closest(".picture"));
  };
  let texts = 0;
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !shown(e) || e.closest(".sr, .skip, noscript, script")) continue;
    texts += 1;
    const style = getComputedStyle(e);
    const ink = rgba(e.closest("svg") ? style.fill : style.color);
    const [low, high] = [light(ink), light(e.closest("svg") ? painted(e) : behind(e))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  if (!texts) faults.push("no text at all");
  return faults;
}
