const GET = ['ntk', 'nngp'], STEP = 150;                // ms between pictures of the movie
const middle = Math.floor(DATA.grid.length / 2);
const names = choices('name', DATA.names, 1);
const gets = choices('get', ['all (NTK)', 'the last one (NNGP)'], 0);
const times = choices('time', DATA.times.map(t => t === null ? '∞' : String(Number(t.toPrecision(2)))), 12);
const xs = choices('x', DATA.grid.map(x => x.toFixed(1)), middle);
const now = new Plot($('now'), {x: [-3, 3], y: [-3, 3], xlabel: 'x', ylabel: 'output'}, () => draw());
const log = DATA.times.slice(1, -1).map(Math.log10);    // without 0 and infinity
const along = new Plot($('along'), {x: [log[0], log.at(-1)], y: [-3, 3], xlabel: 'log10 of t', ylabel: 'output'}, () => draw());
let movie = null;

function draw() {
  const curves = DATA.curves[`${DATA.names[names.at]} ${GET[gets.at]}`];
  const [mean, sd] = curves[times.at].map(real);
  const x = DATA.grid[xs.at];
  now.clear();
  now.line([x, x], now.y, 'guide');
  now.band(DATA.grid, mean, sd, 'a');
  now.dots(DATA.points.map(p => p[0]), DATA.points.map(p => p[1]), 'target');
  const at = Math.max(along.x[0], Math.min(along.x[1], log[times.at - 1] ?? (times.at ? along.x[1] : along.x[0])));
  along.clear();
  along.line([at, at], along.y, 'guide');
  along.band(log, ...[0, 1].map(kind => curves.slice(1, -1).map(each => each[kind][xs.at] * UNIT)), 'b');
  $('said').textContent = `${DATA.depth} hidden layers, W_std = ${DATA.W_std}, b_std = ${DATA.b_std}. At x = ${x.toFixed(1)}: ` +
    `${mean[xs.at].toFixed(2)} ± ${(2 * sd[xs.at]).toFixed(2)}.`;
  document.body.dataset.shown = `${names.at} ${gets.at} ${times.at} ${xs.at}`;
}

function stop() {
  clearInterval(movie);
  movie = null;
  $('play').textContent = 'Play';
}
$('play').addEventListener('click', () => {
  if (movie !== null) return stop();
  if (times.at === DATA.times.length - 1) times.at = 0;
  $('play').textContent = 'Stop';
  movie = setInterval(() => {
    times.at += 1;
    if (times.at === DATA.times.length - 1) stop();
  }, STEP);
});
draw();
