// Returns what does not fit on the page, or cannot be read on its ground: an empty list, it is hoped.

const problems = [];

function named(element) {
  return `${element.tagName.toLowerCase()}#${element.id}.${element.getAttribute('class')}: ${element.textContent.slice(0, 30)}`;
}

function channels(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return { rgb: [red, green, blue], alpha };
}

function groundOf(element) {
  for (let at = element; at !== null; at = at.parentElement) {
    const { rgb, alpha } = channels(getComputedStyle(at).backgroundColor);
    if (alpha === 1) return rgb;
  }
  return [255, 255, 255];
}

function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// The contrast of WCAG 2: 4.5 and more is enough for text.
function contrast(element) {
  const ink = luminance(channels(getComputedStyle(element).color).rgb);
  const ground = luminance(groundOf(element));
  return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
}

const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) problems.push(`the page is ${root.scrollWidth} wide`);

for (const element of document.querySelectorAll('button, input, select, h1, h2, dd, label, .what, .numbers, .badge')) {
  const box = element.getBoundingClientRect();
  const section = (element.closest('section') ?? document.body).getBoundingClientRect();
  if (box.right > section.right + 1) problems.push(`beyond its section: ${named(element)}`);
  if (element.scrollWidth > element.clientWidth + 1 && element.tagName !== 'INPUT') problems.push(`cut short: ${named(element)}`);
}

for (const node of document.querySelectorAll('.node')) {
  const width = node.querySelector('.disc').getBoundingClientRect().width;
  for (const text of node.querySelectorAll('text')) {
    if (text.getBoundingClientRect().width > width) problems.push(`wider than its node: ${text.textContent}`);
  }
}

for (const element of document.querySelectorAll(
  'button:enabled, input, select, dt, dd, h1, h2, label, output, .what, .numbers, .badge, #hint, #events span, .legend li, #ruler span, .cell:not(.none)',
)) {
  const reached = contrast(element);
  if (reached < 4.5) problems.push(`contrast of ${reached.toFixed(1)}: ${named(element)}`);
}

return problems;
