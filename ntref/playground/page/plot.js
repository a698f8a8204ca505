'use strict';
/* Plots as SVG: axes with ticks, lines, bands, images. Sizes are in pixels of the page, so text keeps its size. */

const SVG = 'http://www.w3.org/2000/svg';
const MARGIN = {left: 46, right: 14, top: 8, bottom: 38};

/** Add an element of SVG to `parent` and return it. */
function shape(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

/** Ticks at 1, 2 or 5 times a power of ten. */
function ticks(low, high, most) {
  const least = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= least);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function label(value) {
  return String(Number(value.toPrecision(6))).replace('-', '−');
}

class Plot {
  /** `svg`: the element; `redraw`: called when its size has changed. Ranges x, y are [low, high]. */
  constructor(svg, {x, y, xlabel, ylabel, at}, redraw) {
    Object.assign(this, {svg, x, y, xlabel, ylabel, at});
    this.frame = shape(svg, 'g', {class: 'frame'});
    this.inside = shape(svg, 'svg', {class: 'inside'});         // clips what it has
    this.curves = shape(this.inside, 'g', {});
    this.top = shape(svg, 'g', {});
    new ResizeObserver(() => redraw()).observe(svg);
  }

  get width() { return Math.max(1, this.svg.clientWidth - MARGIN.left - MARGIN.right); }
  get height() { return Math.max(1, this.svg.clientHeight - MARGIN.top - MARGIN.bottom); }

  across(x) { return (x - this.x[0]) / (this.x[1] - this.x[0]) * this.width; }
  up(y) { return (this.y[1] - y) / (this.y[1] - this.y[0]) * this.height; }

  /** The numbers at a place of the page. */
  place(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left - MARGIN.left) / this.width;
    const y = (event.clientY - box.top - MARGIN.top) / this.height;
    return [this.x[0] + x * (this.x[1] - this.x[0]), this.y[1] - y * (this.y[1] - this.y[0])];
  }

  /** Draw the axes anew, without what is in them. */
  clear() {
    this.frame.replaceChildren();
    this.curves.replaceChildren();
    const {left, top} = MARGIN, {width, height, frame} = this;
    for (const [key, value] of Object.entries({x: left, y: top, width, height})) this.inside.setAttribute(key, value);
    this.top.setAttribute('transform', `translate(${left} ${top})`);
    shape(frame, 'rect', {x: left, y: top, width, height, class: 'box'});
    for (const x of this.at || ticks(...this.x, Math.max(3, width / 60))) {
      const px = left + this.across(x);
      shape(frame, 'line', {x1: px, x2: px, y1: top, y2: top + height, class: 'grid'});
      shape(frame, 'text', {x: px, y: top + height + 15, 'text-anchor': 'middle'}, label(x));
    }
    for (const y of ticks(...this.y, Math.max(2, height / 34))) {
      const py = top + this.up(y);
      shape(frame, 'line', {x1: left, x2: left + width, y1: py, y2: py, class: 'grid'});
      shape(frame, 'text', {x: left - 5, y: py + 4, 'text-anchor': 'end'}, label(y));
    }
    const middle = top + height / 2;
    shape(frame, 'text', {x: left + width / 2, y: top + height + 32, 'text-anchor': 'middle'}, this.xlabel);
    shape(frame, 'text', {x: 11, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 11 ${middle})`}, this.ylabel);
  }

  path(xs, ys) {
    return xs.map((x, i) => `${this.across(x).toFixed(1)} ${this.up(ys[i]).toFixed(1)}`).join('L');
  }

  line(xs, ys, name) {
    return shape(this.curves, 'path', {d: 'M' + this.path(xs, ys), class: `line ${name}`});
  }

  /** Mean and the band of two standard deviations. */
  band(xs, mean, sd, name) {
    const high = this.path(xs, mean.map((m, i) => m + 2 * sd[i]));
    const low = this.path([...xs].reverse(), mean.map((m, i) => m - 2 * sd[i]).reverse());
    shape(this.curves, 'path', {d: `M${high}L${low}Z`, class: `band ${name}`});
    return this.line(xs, mean, name);
  }

  dots(xs, ys, name) {
    xs.forEach((x, i) => shape(this.curves, 'circle', {cx: this.across(x), cy: this.up(ys[i]), r: 5, class: name}));
  }
}

/** A range around 0 for numbers up to `most`, which moves in steps, so that axes do not tremble. */
function around(most) {
  const level = 2 ** Math.ceil(Math.log2(Math.max(most, 1e-3)));
  return [-level, level];
}
