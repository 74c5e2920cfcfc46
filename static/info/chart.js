// A line that grows to the right, over a scale that fits its highest point.

const [WIDTH, HEIGHT, POINTS] = [600, 120, 32];

export class Chart {
  constructor(svg) {
    this.values = [];
    this.line = svg.ownerDocument.createElementNS(svg.namespaceURI, 'polyline');
    this.top = svg.closest('figure').querySelector('.top');
    svg.replaceChildren(this.line);
  }

  add(value) {
    this.values.push(value);
    const highest = niceCeiling(Math.max(...this.values));
    const step = WIDTH / Math.max(POINTS, this.values.length);
    const points = this.values.map((each, index) => `${(index * step).toFixed(1)},${(HEIGHT * (1 - each / highest)).toFixed(1)}`);
    this.line.setAttribute('points', points.join(' '));
    this.top.textContent = String(highest);
  }
}

// Returns 1, 2 or 5 times a power of ten.
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value) ?? value;
}
