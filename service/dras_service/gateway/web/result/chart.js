// Two bars a row on one scale, drawn as SVG. The numbers are in the table beside it.

import { svg } from "../dom.js";
import { number } from "../wording.js";

const [WIDTH, ROW, NAME, TOP, RIGHT] = [440, 27, 138, 40, 44];

/**
 * @param {{ name: string, raw: number | null, harmonised: number | null }[]} rows
 * @param {{ title: string, unit: string }} options
 * @returns {SVGSVGElement}
 */
export function pairedBars(rows, { title, unit }) {
  const most = roundedUp(Math.max(1, ...rows.flatMap(({ raw, harmonised }) => [raw ?? 0, harmonised ?? 0])));
  const x = (/** @type {number} */ value) => NAME + (value / most) * (WIDTH - NAME - RIGHT);
  const height = TOP + rows.length * ROW + 4;
  const drawn = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}, raw and harmonised, ${unit}` });
  drawn.append(text(0, 14, title, "title"), ...legend());
  for (const tick of [0, most / 2, most]) {
    drawn.append(svg("line", { class: "tick", x1: x(tick), x2: x(tick), y1: TOP - 4, y2: height }));
    drawn.append(text(x(tick), TOP - 8, `${number(tick, most < 4 ? 1 : 0)}${tick === most ? ` ${unit}` : ""}`, "axis"));
  }
  rows.forEach(({ name, raw, harmonised }, n) => {
    const y = TOP + n * ROW;
    drawn.append(text(0, y + 15, name, "name"), ...bars("raw", raw, y + 3), ...bars("harmonised", harmonised, y + 13));
  });
  return drawn;

  /**
   * @param {string} kind
   * @param {number | null} value
   * @param {number} y
   */
  function bars(kind, value, y) {
    if (value === null) return [];
    return [
      svg("rect", { class: kind, x: NAME, y, width: Math.max(0.5, x(value) - NAME), height: 9 }),
      text(x(value) + 4, y + 8, number(value, 1), "value"),
    ];
  }
}

function legend() {
  return ["raw", "harmonised"].flatMap((kind, n) => [
    svg("rect", { class: kind, x: 300 + n * 52, y: 6, width: 9, height: 9 }),
    text(313 + n * 52, 14, kind, "axis-left"),
  ]);
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} content
 * @param {string} kind
 */
function text(x, y, content, kind) {
  return svg("text", { x, y, class: kind }, content);
}

/** The next of 1, 2, 5, 10, 20, …
 * @param {number} value */
function roundedUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}
