const names = choices('name', DATA.names, 1);
const depths = choices('depth', Array.from({length: DATA.depths}, (_, i) => String(i + 1)), 1);
const widths = choices('W_std', DATA.widths.map(String), 3);
const [prior, posterior] = ['prior', 'posterior'].map(id => new Plot($(id), {x: [-3, 3], y: [-3, 3], xlabel: 'x',
  ylabel: 'output'}, () => draw()));

function draw() {
  const [sd, ...rest] = DATA.curves[`${DATA.names[names.at]} ${DATA.widths[widths.at]} ${depths.at + 1}`].map(real);
  const [mean, left] = rest.slice(3);
  prior.y = around(2.2 * Math.max(...sd));
  prior.clear();
  prior.band(DATA.grid, sd.map(() => 0), sd, 'a').remove();
  rest.slice(0, 3).forEach((f, i) => prior.line(DATA.grid, f, 'abc'[i]));
  posterior.clear();
  posterior.band(DATA.grid, mean, left, 'a');
  posterior.dots(DATA.points.map(p => p[0]), DATA.points.map(p => p[1]), 'target');
  $('said').textContent = `Bias b_std = ${DATA.b_std}, noise ${DATA.noise} of the mean variance. Largest deviation before: ` +
    `${Math.max(...sd).toFixed(2)}, after: ${Math.max(...left).toFixed(2)}.`;
  document.body.dataset.shown = `${names.at} ${depths.at} ${widths.at}`;
}
draw();
