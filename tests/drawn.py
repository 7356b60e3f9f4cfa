"""What browser tests read off a chart: its candles and dots as they are drawn."""

#: Script of a function: every candle on the Stock screen, from left to right, in pixels of the plot. A path holds those
#: of one colour: the wick from low to high, then around the body from open to close.
CANDLES = """() => {
  const points = (piece) => piece.split('L').map((pair) => pair.split(',').map(Number));
  const paths = [...document.querySelectorAll('.qk-plot path.line[d]')].filter(
    (path) => path.style.fill && path.style.strokeWidth === '1');
  return paths.flatMap((path) => {
    const pieces = path.getAttribute('d').split('M').slice(1).map(points);
    return pieces.filter((_, at) => at % 2 === 0).map((wick, at) => {
      const body = pieces[2 * at + 1];
      return { x: wick[0][0], low: wick[0][1], high: wick[1][1], open: body[0][1], close: body[1][1],
               colour: path.style.fill };
    });
  }).sort((a, b) => a.x - b.x);
}"""

#: Script of a function: how many red dots there are; a path holds those of one colour, each a piece of one point.
RED_DOTS = """() => [...document.querySelectorAll('.qk-lines path.line[d]')]
  .filter((path) => getComputedStyle(path).stroke === 'rgb(239, 83, 80)')
  .flatMap((path) => path.getAttribute('d').match(/M[^MLZ]+Z/g) ?? []).length"""
