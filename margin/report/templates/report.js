"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Theme: the system's, until the reader chooses.
const setTheme = (name) => {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light theme" : "Dark theme";
};
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");

// Tables: a click on a column's name sorts by it, numbers as numbers, what is missing last.
const sortBy = (table, place, direction) => {
  const value = (row) => {
    const cell = row.cells[place];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return direction * (typeof x === "number" ? x - y : x.localeCompare(y));
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    head.querySelector("button").onclick = () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      sortBy(table, place, rising ? 1 : -1);
    };
  });
}

// Rows are shown that hold every word that is searched for.
const holds = (words) => {
  const parts = words.toLowerCase().split(/\s+/);
  return (text) => parts.every((part) => text.toLowerCase().includes(part));
};
const filter = (table, words, told, isListed = () => true, what = "rows") => {
  const found = holds(words), rows = [...table.tBodies[0].rows];
  let shown = 0;
  for (const row of rows) {
    row.hidden = !(found(row.textContent) && isListed(row));
    shown += !row.hidden;
  }
  const whole = shown === rows.length;
  table.closest(".scroll").classList.toggle("filtered", !whole);
  table.closest(".frame").classList.toggle("filtered", !whole);
  shade();
  told.textContent = whole ? "" : `${shown} of ${rows.length} ${what}`;
};
for (const input of document.querySelectorAll("input.filter")) {
  const part = input.closest("section");
  input.oninput = () => filter(part.querySelector("table"), input.value, part.querySelector("output"));
}

// The prompts' table shows what is searched for and what is selected in the plot.
let selected = null; // set of prompt ids, or null for all
const listPrompts = () => filter(byId("prompts-table"), byId("find").value, byId("found"),
  (row) => !selected || selected.has(row.cells[0].textContent), "prompts");
byId("find").oninput = listPrompts;

// A count lists its rows.
for (const button of document.querySelectorAll("button[data-rows]")) {
  button.onclick = () => {
    const { columns, rows } = data.outcomes, body = byId("rows").querySelector("tbody");
    const names = button.closest("table").tHead.rows[0].cells, cell = button.closest("td");
    const cells = (kind, line) => line.map((text, i) => {
      const made = document.createElement(kind);
      made.textContent = text;
      made.className = text.length > 40 ? "text" : "short";
      made.dataset.label = columns[i];
      return made;
    });
    const lines = rows[button.dataset.rows];
    byId("rows-title").textContent = `${cell.parentNode.cells[0].textContent} → ` +
      `${names[cell.cellIndex].textContent}: ` +
      `${lines.length < Number(cell.dataset.value) ? `the first ${lines.length} of ` : ""}${cell.dataset.value} rows`;
    byId("rows").querySelector("thead tr").replaceChildren(...cells("th", columns));
    body.replaceChildren(...lines.map((line) => {
      const row = document.createElement("tr");
      row.append(...cells("td", line));
      return row;
    }));
    byId("rows").hidden = false;
    byId("rows-title").focus();
    shade();
  };
}

// A shadow where a table has more to show; on a phone each cell bears its column's name.
const shade = () => {
  for (const scroll of document.querySelectorAll(".scroll")) {
    const frame = scroll.parentNode, rest = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft;
    frame.classList.toggle("more-left", scroll.scrollLeft > 1);
    frame.classList.toggle("more-right", rest > 1);
    frame.classList.toggle("more-below", scroll.scrollHeight - scroll.clientHeight - scroll.scrollTop > 1);
  }
};
const narrow = matchMedia("(max-width: 36rem)");
const label = () => {
  if (!narrow.matches) return;
  for (const table of document.querySelectorAll("table.sortable.cards")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = names[i]; });
  }
};
narrow.onchange = label;
label();
shade();
addEventListener("resize", shade);
document.querySelectorAll(".scroll").forEach((scroll) => { scroll.onscroll = shade; });

drawPlot();

function drawPlot() {
  const plot = byId("plot"), tip = byId("tip"), layer = byId("layer"), centred = byId("centred");
  const modeBoxes = [...byId("modes").querySelectorAll("input")];
  const sliceMenus = [...document.querySelectorAll("select.slice")];
  let printing = false; // a sheet has its own size, whatever the window's
  const width = () => (printing ? 600 : Math.max(240, plot.clientWidth - 90));
  const height = () => (printing ? 125 : Math.round(Math.min(440, 0.8 * width())));
  const modeNames = data.modes.map((mode) => mode.name);
  const axis = { labelColor: "var(--muted)", titleColor: "var(--ink)", domainColor: "var(--muted)",
    tickColor: "var(--muted)", gridColor: "var(--line)", gridOpacity: 0.5, titleFontWeight: "normal", minExtent: 34 };
  // The fields are not named x and y: Vega-Lite would then rename the signals of the selection.
  const position = (axis) => ({ field: "at_" + axis, type: "quantitative",
    title: axis === "x" ? "component 1" : "component 2",
    scale: { domain: [{ expr: axis + "0" }, { expr: axis + "1" }], nice: false, zero: false } });
  const spec = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: width(), height: height(), background: "transparent",
    params: ["x0", "x1", "y0", "y1"].map((name) => ({ name, value: Number(name[1]) })),
    data: { name: "points", values: [] },
    layer: [
      {
        params: [{ name: "brush", select: { type: "interval" } }],
        mark: { type: "point", filled: true, size: 45, stroke: "var(--paper)", strokeWidth: 0.5, aria: false },
        encoding: {
          x: position("x"), y: position("y"),
          color: { field: "mode", type: "nominal", scale: { domain: modeNames,
            range: data.modes.map((mode, i) => `var(--mode-${i})`) }, legend: { title: null, orient: "top" } },
          shape: { field: "mode", type: "nominal",
            scale: { domain: modeNames, range: data.modes.map((mode) => mode.shape) } },
          opacity: { condition: { param: "brush", value: 0.9 }, value: 0.2 },
          tooltip: { field: "index", type: "quantitative" },
        },
      },
      {
        data: { name: "marked", values: [] },
        mark: { type: "point", size: 260, stroke: "var(--ink)", strokeWidth: 2.5, filled: false, aria: false },
        encoding: { x: position("x"), y: position("y") },
      },
    ],
    config: { axis, legend: { labelColor: "var(--ink)", labelFontSize: 13, symbolSize: 90 },
      view: { stroke: null }, font: "inherit" },
  };

  const describe = (index) => {
    const point = data.points[index], prompt = data.prompts[point.prompt];
    if (!prompt) return [`mode ${modeNames[point.mode]}`]; // which prompt it is stays untold
    const slices = data.slices.map((column, i) =>
      prompt.slices[i] === null ? [] : `${column.name}: ${column.values[prompt.slices[i]]}`).flat();
    return [`prompt ${prompt.id}`, `mode ${modeNames[point.mode]}`, `margin ${point.silhouette.toFixed(3)}`,
      ...slices, ...(prompt.text === undefined ? [] : [prompt.text])];
  };
  const showTip = (_, event, item, value) => {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    tip.textContent = describe(item.datum.index).join("\n");
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  };

  let view = null, shown = [], marked = -1;
  const seek = byId("seek");
  const passes = (point, found) => modeBoxes[point.mode].checked && sliceMenus.every((menu, i) =>
    menu.value === "" || data.prompts[point.prompt].slices[i] === Number(menu.value)) && found(point.prompt);
  // Which prompts hold what is searched for, each looked at once.
  const sought = () => {
    if (!seek || !seek.value.trim()) return () => true;
    const found = holds(seek.value);
    const kept = data.prompts.map((prompt) => found([prompt.id, prompt.text ?? "", ...data.slices.map(
      (column, i) => column.values[prompt.slices[i]] ?? "")].join(" ")));
    return (prompt) => kept[prompt];
  };
  const select = (isSelected) => {
    if (!data.prompts.length) return;
    const kept = shown.filter(isSelected);
    const all = kept.length === data.points.length;
    selected = all ? null : new Set(kept.map((row) => data.prompts[data.points[row.index].prompt].id));
    listPrompts();
  };
  // One scale for both axes: lengths mean the same along each.
  const fit = () => {
    const middle = [], spans = [];
    for (const axis of ["x", "y"]) {
      const values = shown.map((row) => row["at_" + axis]);
      const low = Math.min(...values), high = Math.max(...values);
      middle.push((low + high) / 2);
      spans.push(high - low);
    }
    const unit = 1.1 * Math.max(spans[0] / view.width(), spans[1] / view.height()) || 1 / view.height();
    [["x", view.width()], ["y", view.height()]].forEach(([axis, length], i) => {
      const centre = shown.length ? middle[i] : 0;
      view.signal(axis + "0", centre - unit * length / 2).signal(axis + "1", centre + unit * length / 2);
    });
  };
  const update = () => {
    const place = data.views[Number(layer.value)], drawn = centred.checked ? place.centred : place.raw;
    const found = sought();
    shown = data.points.map((point, index) => ({ index, at_x: drawn.x[index], at_y: drawn.y[index],
      mode: modeNames[point.mode], passes: passes(point, found) })).filter((row) => row.passes);
    const percent = drawn.shares.map((share) => `${Math.round(100 * share)}%`).join(" and ");
    byId("view").textContent = `${place.name}: margin ${drawn.margin}; ${percent} of variance along the axes; ` +
      `${shown.length} of ${data.points.length} points shown`;
    byId("quality").textContent = drawn.quality;
    layer.setAttribute("aria-valuetext", place.name);
    fit();
    mark(-1);
    view.data("points", shown).signal("brush_x", [0, 0]).signal("brush_y", [0, 0]).run();
    select(() => true);
  };
  const mark = (place) => {
    marked = place;
    view.data("marked", place < 0 ? [] : [shown[place]]);
    byId("detail").textContent = place < 0 ? "" : describe(shown[place].index).join(" · ");
  };

  vegaEmbed(plot, spec, { ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: showTip })
    .then((result) => {
      view = result.view;
      view.addSignalListener("brush", (_, area) => {
        const inside = (row) => !area.at_x || ["at_x", "at_y"].every((axis) =>
          row[axis] >= Math.min(...area[axis]) && row[axis] <= Math.max(...area[axis]));
        select(inside);
      });
      layer.oninput = update;
      if (seek) seek.oninput = update;
      [centred, ...modeBoxes, ...sliceMenus].forEach((input) => { input.onchange = update; });
      byId("reset").onclick = () => {
        modeBoxes.forEach((box) => { box.checked = true; });
        sliceMenus.forEach((menu) => { menu.value = ""; });
        layer.value = layer.max;
        centred.checked = false;
        for (const input of [byId("find"), seek]) if (input) input.value = "";
        update();
      };
      plot.onkeydown = (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step || !shown.length) return;
        event.preventDefault();
        mark(marked < 0 ? 0 : (marked + step + shown.length) % shown.length);
        view.run();
      };
      const resize = () => { view.width(width()).height(height()); update(); };
      addEventListener("resize", resize);
      addEventListener("beforeprint", () => { printing = true; resize(); });
      addEventListener("afterprint", () => { printing = false; resize(); });
      update();
      plot.dataset.ready = "true";
    });
}
