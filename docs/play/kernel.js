const names = choices('name', DATA.names, 1);
const depths = choices('depth', Array.from({length: DATA.depths}, (_, i) => String(i + 1)), 2);
const widths = choices('W_std', DATA.widths.map(String), 2);
const plots = ['nngp', 'ntk'].map(id => new Plot($(id), {x: [0, 180], y: [-1, 1], xlabel: 'angle [degrees]',
  ylabel: 'relative to angle 0', at: [0, 45, 90, 135, 180]}, () => draw()));

function draw() {
  const curves = DATA.curves[`${DATA.names[names.at]} ${DATA.widths[widths.at]}`];
  plots.forEach((plot, kind) => {
    plot.clear();
    for (let depth = 0; depth < depths.at; depth++) plot.line(DATA.angles, real(curves[depth][kind]), 'earlier');
    plot.line(DATA.angles, real(curves[depths.at][kind]), kind ? 'b' : 'a');
  });
  const right = curves[depths.at][0][DATA.angles.indexOf(90)] * UNIT;
  $('said').textContent = `Bias b_std = ${DATA.b_std}. Inputs at a right angle have the correlation ${right.toFixed(3)} ` +
    `after ${depths.at + 1} layers. Thin lines: fewer layers.`;
  document.body.dataset.shown = `${names.at} ${depths.at} ${widths.at}`;
}
draw();
