// What lies over something else, leaves its box or is cut without a sign, as a list of sentences.
const faults = [], near = 1.5, seen = (r) => r.width > 0.5 && r.height > 0.5;
const texts = (element) => {
  const range = document.createRange(), found = [];
  const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!walk.currentNode.textContent.trim()) continue;
    range.selectNodeContents(walk.currentNode);
    found.push(...[...range.getClientRects()].filter(seen));
  }
  return found;
};
const within = (a, b) => a.left >= b.left - near && a.right <= b.right + near;
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > near &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > near;
// What a box holds stays in it: a number that leaves its cell lies over the next.
const boxes = "td, thead th, .facts > div, .verdict li, nav a, .controls label, h1, h2";
for (const box of document.querySelectorAll(boxes)) {
  const frame = box.getBoundingClientRect();
  if (!seen(frame)) continue;
  const words = box.textContent.trim().slice(0, 60), mark = box.querySelector(".mark");
  for (const rect of texts(box)) {
    if (!within(rect, frame)) faults.push(`text leaves ${box.tagName}: ${words}`);
    if (mark && overlap(rect, mark.getBoundingClientRect())) faults.push(`a mark lies over ${words}`);
  }
}
// Cells, cards and lines of controls do not lie over each other.
for (const row of document.querySelectorAll("tr, .facts, .verdict, .controls, nav, main, body")) {
  const parts = [...row.children]
    .filter((part) => !["absolute", "fixed"].includes(getComputedStyle(part).position))
    .map((part) => [part, part.getBoundingClientRect()]).filter(([, rect]) => seen(rect));
  parts.slice(1).forEach(([part, rect], i) => {
    if (overlap(rect, parts[i][1]))
      faults.push(`${row.tagName} has parts over each other: ${part.textContent.trim().slice(0, 60)}`);
  });
}
const page = document.documentElement;
if (page.scrollWidth > page.clientWidth + 1) faults.push(`the page is ${page.scrollWidth} wide`);
for (const scroll of document.querySelectorAll(".scroll")) {
  const cut = scroll.clientWidth && scroll.scrollWidth > scroll.clientWidth + 1;
  if (cut && !scroll.parentNode.classList.contains("more-right"))
    faults.push(`cut without a sign: ${scroll.getAttribute("aria-label")}`);
}
return [...new Set(faults)].slice(0, 12);
