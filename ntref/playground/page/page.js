'use strict';
/* The page: controls and points change `state`; the server answers with curves, which are drawn. */

const $ = id => document.getElementById(id);
const IDLE = 250;                       // ms without a change, after which finite networks are trained
const TIMES = 60;                       // the last place of the slider of time: infinity
let state = null, seen = null, edge = 3, ranges = {};
let running = false, changed = false, generation = 0, waiting = 0, chosen = -1;
let networks = [];
const phasesOf = {};

/* ---------------------------------------------------------------- state and query */

const time = place => place === 0 ? 0 : place === TIMES ? null : Number((10 ** (-1 + (place - 1) / 10)).toPrecision(3));
const place = t => t === null ? TIMES : t === 0 ? 0 : Math.max(1, Math.min(TIMES - 1, Math.round(10 * Math.log10(t)) + 11));
const round = x => Number(x.toFixed(3));

/** Names of numbers: from the slider to the state, from the state to the slider, and what stands beside it. */
const NUMBERS = {
  depth: [Number, Number, String], W_std: [Number, Number, x => x.toFixed(2)], b_std: [Number, Number, x => x.toFixed(2)],
  t: [time, place, t => t === null ? '∞' : String(t)],
  diag_reg: [x => Number((10 ** x).toPrecision(3)), x => Math.log10(x), String],
  networks: [Number, Number, String], width: [x => 2 ** x, x => Math.log2(x), String]};
const CHOICES = ['activation', 'get'];

function query(changes) {
  const all = {...state, ...changes};
  all.t = all.t === null ? 'inf' : all.t;
  all.points = all.points.map(p => p.join(',')).join(';');
  return new URLSearchParams(all).toString();
}

function showState() {
  for (const [name, [, back, text]] of Object.entries(NUMBERS)) {
    $(name).value = back(state[name]);
    $(name).parentElement.querySelector('output').value = text(state[name]);
    $(name).setAttribute('aria-valuetext', text(state[name]));
  }
  for (const name of CHOICES) $(name).value = state[name];
  $('remove').disabled = state.points.length < 2 || chosen < 0;
}

function change(changes) {
  state = {...state, ...changes};
  showState();
  showPoints();
  ask(query());
}

/* ---------------------------------------------------------------- answers */

/** Ask for what is to be seen; while an answer is awaited, only the newest question is kept. */
async function ask(text) {
  generation++;
  clearTimeout(waiting);
  changed = text;
  if (running) return;
  running = true;
  while (changed !== false) {
    const asked = changed;
    changed = false;
    const began = performance.now();
    await answered(asked);
    document.body.dataset.milliseconds = Math.round(performance.now() - began);
  }
  running = false;
  waiting = setTimeout(trainNetworks, IDLE);
}

async function fetched(path) {
  const answer = await fetch(path);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function answered(asked) {
  try {
    const found = await fetched('seen?' + asked);
    phasesOf[found.state.activation] ||= await fetched('phases?activation=' + found.state.activation);
    $('error').textContent = found.notes.join(' ');
    if (changed === false) state = found.state;
    seen = found;
    networks = [];
    begin(found);
    showState();
    drawAll();
    history.replaceState(null, '', found.query ? '?' + found.query : location.pathname);
    document.body.dataset.shown = found.query;
  } catch (error) {
    $('error').textContent = error instanceof TypeError ? 'No answer: has ntref playground been ended?' : error.message;
    if (state === null) await answered('');                      // a link that is none
  }
}

/** Ranges and names that the server knows, with the first answer. */
function begin(found) {
  if ($('activation').options.length) return;
  edge = found.edge;
  ranges = found.ranges;
  for (const name of found.activations) $('activation').add(new Option(name, name));
  for (const name of ['depth', 'W_std', 'b_std', 'networks']) [$(name).min, $(name).max] = ranges[name];
}

async function trainNetworks() {
  const mine = generation;
  try {
    for (let i = 1; i <= state.networks; i++) {
      const found = await fetched('trained?' + query({networks: i}));
      if (mine !== generation) return;
      networks.push(found);
      drawPosterior();
    }
  } catch (error) {
    $('error').textContent = error.message;
  }
}

/* ---------------------------------------------------------------- pictures */

const posterior = new Plot($('posterior'), {x: [-3, 3], y: [-3, 3], xlabel: 'x', ylabel: 'output'}, () => drawPosterior());
const prior = new Plot($('prior'), {x: [-3, 3], y: [-3, 3], xlabel: 'x', ylabel: 'output'}, () => drawPrior());
const angle = new Plot($('angle'), {x: [0, 180], y: [0, 1], xlabel: 'angle [degrees]', ylabel: 'kernel',
  at: [0, 45, 90, 135, 180]}, () => drawAngle());
const phases = new Plot($('phases'), {x: [.5, 3], y: [0, 1], xlabel: 'W_std', ylabel: 'b_std'}, () => drawPhases());

function drawAll() {
  drawPosterior();
  drawPrior();
  drawAngle();
  drawPhases();
  $('code').textContent = seen.code;
}

function drawPosterior() {
  if (!seen) return;
  posterior.clear();
  posterior.band(seen.grid, seen.posterior.mean, seen.posterior.sd, 'a');
  for (const network of networks) posterior.line(seen.grid, network.f, 'network');
  const reached = networks.length ? networks[0].t : state.t;
  if (reached !== state.t) posterior.line(seen.grid, networks[0].mean, 'b');
  const then = reached !== state.t ? ' (dashed: the mean of infinite networks then)' : '';
  const until = networks.length ? `, trained to t = ${label(Number(reached.toPrecision(3)))}${then}` : '';
  $('trained').textContent = `finite networks of width ${state.width}: ${networks.length || 'none'}${until}`;
  document.body.dataset.networks = networks.length;
  showPoints();
}

function drawPrior() {
  if (!seen) return;
  const {sd, draws} = seen.prior;
  prior.y = around(2.2 * Math.max(...sd));
  prior.clear();
  prior.band(seen.grid, sd.map(() => 0), sd, 'a').remove();
  draws.forEach((f, i) => prior.line(seen.grid, f, 'thin ' + 'abcde'[i]));
}

function drawAngle() {
  if (!seen) return;
  const {nngp, ntk} = seen.angle;
  angle.y = [Math.min(0, ...nngp, ...ntk) < 0 ? -1 : 0, 1];
  angle.clear();
  angle.line(seen.angles, nngp, 'a');
  angle.line(seen.angles, ntk, 'b');
}

/** From blue (order) by white (1) to red (chaos); grey where variances grow without end. */
function colour(chi) {
  if (chi === null) return [170, 170, 170];
  const far = Math.min(1, Math.abs(chi - 1)), end = chi < 1 ? [33, 102, 172] : [178, 24, 43];
  return end.map(c => 247 + far * (c - 247));
}

function picture({chi}) {
  const canvas = document.createElement('canvas');
  [canvas.height, canvas.width] = [chi.length, chi[0].length];
  const image = new ImageData(canvas.width, canvas.height);
  chi.forEach((row, j) => row.forEach((value, i) =>
    image.data.set([...colour(value), 255], 4 * ((canvas.height - 1 - j) * canvas.width + i))));
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** Pieces of the line chi = 1: in each cell between the edges where it passes. */
function edges({W_std, b_std, chi}) {
  const pieces = [];
  for (let j = 0; j + 1 < b_std.length; j++) for (let i = 0; i + 1 < W_std.length; i++) {
    const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
    const found = corners.flatMap(([p, q], n) => {
      const [r, s] = corners[(n + 1) % 4], a = chi[q][p], b = chi[s][r];
      if (a === null || b === null || (a < 1) === (b < 1)) return [];
      const f = (1 - a) / (b - a);
      return [[W_std[p] + f * (W_std[r] - W_std[p]), b_std[q] + f * (b_std[s] - b_std[q])]];
    });
    if (found.length >= 2) pieces.push(found.slice(0, 2));
  }
  return pieces;
}

function drawPhases() {
  if (!seen) return;
  const found = phasesOf[seen.state.activation];
  found.picture ||= picture(found);
  found.edges ||= edges(found);
  const {W_std, b_std} = found, {width, height} = phases;
  [phases.x, phases.y] = [[W_std[0], W_std.at(-1)], [b_std[0], b_std.at(-1)]];
  phases.clear();
  const dx = width / (W_std.length - 1), dy = height / (b_std.length - 1);
  shape(phases.curves, 'image', {href: found.picture, x: -dx / 2, y: -dy / 2, width: width + dx, height: height + dy,
    preserveAspectRatio: 'none', class: 'settable'});
  const d = found.edges.map(piece => 'M' + phases.path(piece.map(p => p[0]), piece.map(p => p[1]))).join('');
  if (d) shape(phases.curves, 'path', {d, class: 'edge'});
  shape(phases.curves, 'circle', {cx: phases.across(state.W_std), cy: phases.up(state.b_std), r: 6, class: 'here'});
  const {chi} = seen;
  const is = chi === null ? 'variances grow without end' : Math.abs(chi - 1) < .005 ? 'the edge: near inputs keep their distance'
    : chi < 1 ? 'order: near inputs become equal in depth' : 'chaos: near inputs become different in depth';
  $('phase').textContent = chi === null ? is : `χ = ${chi.toFixed(2)}, ${is}`;
}

/* ---------------------------------------------------------------- points */

/** Move the circles to the points; they stay the same elements, so that a drag goes on. */
function showPoints() {
  const circles = [...posterior.top.children];
  state.points.forEach(([x, y], i) => {
    const circle = circles[i] || newCircle(i);
    circle.setAttribute('cx', posterior.across(x));
    circle.setAttribute('cy', posterior.up(y));
    circle.setAttribute('aria-label', `point ${i + 1}: x ${label(x)}, y ${label(y)}`);
  });
  circles.slice(state.points.length).forEach(circle => circle.remove());
}

function newCircle(i) {
  const circle = shape(posterior.top, 'circle', {r: 7, class: 'point', tabindex: 0, role: 'button'});
  circle.addEventListener('pointerdown', event => {
    circle.setPointerCapture(event.pointerId);
    circle.focus();
    event.preventDefault();
  });
  circle.addEventListener('pointermove', event => {
    if (circle.hasPointerCapture(event.pointerId)) move(i, posterior.place(event));
  });
  circle.addEventListener('dblclick', () => remove(i));
  circle.addEventListener('focus', () => { chosen = i; showState(); });
  circle.addEventListener('keydown', event => key(i, event));
  return circle;
}

const within = x => round(Math.max(-edge, Math.min(edge, x)));

function move(i, [x, y]) {
  change({points: state.points.map((p, n) => n === i ? [within(x), within(y)] : p)});
}

function remove(i) {
  if (state.points.length < 2 || i < 0 || i >= state.points.length) return;
  chosen = -1;
  change({points: state.points.filter((p, n) => n !== i)});
}

function add(x, y) {
  change({points: [...state.points, [within(x), within(y)]]});
}

function key(i, event) {
  const step = event.shiftKey ? .25 : .05, [x, y] = state.points[i];
  const to = {ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y + step], ArrowDown: [x, y - step]}[event.key];
  if (to) move(i, to);
  else if (event.key === 'Delete' || event.key === 'Backspace') remove(i);
  else return;
  event.preventDefault();
}

$('posterior').addEventListener('click', event => {
  if (event.target.closest('.point') || !state) return;
  const [x, y] = posterior.place(event);
  if (Math.abs(x) <= edge && Math.abs(y) <= edge) add(x, y);
});
$('add').addEventListener('click', () => {
  const xs = [-edge, ...state.points.map(p => p[0]).sort((a, b) => a - b), edge];
  const gaps = xs.slice(1).map((x, i) => x - xs[i]), widest = gaps.indexOf(Math.max(...gaps));
  add((xs[widest] + xs[widest + 1]) / 2, 0);                      // where there is most room
  posterior.top.lastElementChild.focus();
});
$('remove').addEventListener('click', () => remove(chosen));

/* ---------------------------------------------------------------- the phase diagram and other controls */

function setByPlace(event) {
  const [W_std, b_std] = phases.place(event);
  const clipped = (x, [low, high]) => Math.max(low, Math.min(high, Math.round(20 * x) / 20));
  change({W_std: clipped(W_std, ranges.W_std), b_std: clipped(b_std, ranges.b_std)});
}
$('phases').addEventListener('pointerdown', event => {
  $('phases').setPointerCapture(event.pointerId);
  setByPlace(event);
});
$('phases').addEventListener('pointermove', event => { if (event.buttons) setByPlace(event); });

for (const [name, [to]] of Object.entries(NUMBERS))
  $(name).addEventListener('input', event => change({[name]: to(Number(event.target.value))}));
for (const name of CHOICES) $(name).addEventListener('change', event => change({[name]: event.target.value}));
$('again').addEventListener('click', () => change({seed: state.seed + 1}));
$('reset').addEventListener('click', () => ask(''));

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    $('copied').textContent = `${what} is copied.`;
  } catch {
    $('copied').textContent = 'The browser does not let a page copy: select the text.';
  }
}
$('copy').addEventListener('click', () => copy(seen.code, 'The code'));
$('link').addEventListener('click', () => copy(location.href, 'The link'));
window.addEventListener('popstate', () => ask(location.search.slice(1)));

ask(location.search.slice(1));
