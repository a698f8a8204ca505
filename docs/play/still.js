/* What the pages without a server share. */
const UNIT = .001;                      // numbers of DATA are whole, in this unit
const $ = id => document.getElementById(id);
const real = numbers => numbers.map(a => a * UNIT);

/** A select or a slider; `texts` are what its places are called. It redraws when it is moved. */
function choices(id, texts, at) {
  const control = $(id);
  if (control.tagName === 'SELECT') texts.forEach((text, i) => control.add(new Option(text, i)));
  else [control.min, control.max, control.step] = [0, texts.length - 1, 1];
  control.value = at;
  const say = () => {
    const output = control.parentElement.querySelector('output');
    if (output) output.value = texts[control.value];
    control.setAttribute('aria-valuetext', texts[control.value]);
  };
  control.addEventListener('input', () => { say(); draw(); });
  say();
  return {get at() { return Number(control.value); }, set at(i) { control.value = i; say(); draw(); }};
}

/* Light or dark as the page around this one, if there is one. */
try {
  const around = window.parent.document.documentElement;
  const follow = () => { document.documentElement.dataset.theme = around.dataset.theme || ''; };
  if (window.parent !== window) {
    follow();
    new MutationObserver(follow).observe(around, {attributeFilter: ['data-theme']});
  }
} catch { /* of another origin: as the system says */ }
