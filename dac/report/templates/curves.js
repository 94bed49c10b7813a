"use strict";
// Curves: a chart per task, drawn when it comes into view; boxes choose the lines of an experiment's charts.
(() => {
  const { charts } = JSON.parse(document.getElementById("numbers").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // figure → uPlot
  const hidden = new Map(); // experiment → names of lines that are not shown

  const colourOf = (line) => {
    const colour = line.colour || (dark.matches ? "#ffffff" : "#000000");
    if (!dark.matches || !line.colour) return colour;
    const mixed = [1, 3, 5].map((at) => Math.round(0.65 * parseInt(colour.slice(at, at + 2), 16) + 0.35 * 255));
    return `rgb(${mixed.join(" ")})`;
  };
  const faint = (colour) => `color-mix(in srgb, ${colour} 18%, transparent)`;
  const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const stepText = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : `${value}`);
  const shown = (experiment, line) => !hidden.get(experiment).has(line.name);

  const readout = (figure, chart, index) => {
    const experiment = figure.dataset.experiment;
    const texts = chart.lines.filter((line) => shown(experiment, line) && line.mean[index] !== null).map((line) => {
      const band = line.low[index] === null ? "" : ` [${line.low[index].toFixed(1)}, ${line.high[index].toFixed(1)}]`;
      return `${line.name}: ${line.mean[index].toFixed(1)}${band}`;
    });
    const step = `Step ${chart.steps[index].toLocaleString("en")}`;
    figure.querySelector(".readout").textContent = [step, ...texts].join("\n");
  };

  // Three series for each line: mean, then the upper and lower edge of its band.
  const options = (figure, chart) => {
    const experiment = figure.dataset.experiment;
    const axis = { stroke: () => styled("--quiet"), grid: { stroke: () => styled("--line"), width: 1 } };
    const series = chart.lines.flatMap((line) => {
      const show = shown(experiment, line);
      const edge = { label: line.name, show, width: 0, points: { show: false } };
      const mean = { stroke: colourOf(line), dash: line.dashes, width: line.colour ? 2 : 1, spanGaps: true };
      return [{ label: line.name, show, points: { show: false }, ...mean }, edge, edge];
    });
    return {
      width: figure.clientWidth,
      height: 240,
      legend: { show: false },
      scales: { x: { time: false } },
      cursor: { points: { size: 6 }, drag: { x: true, y: false } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(stepText) }, { ...axis, size: 48 }],
      series: [{ label: "step" }, ...series],
      bands: chart.lines.map((line, at) => ({ series: [3 * at + 2, 3 * at + 3], fill: faint(colourOf(line)) })),
      hooks: { setCursor: [(plot) => { if (plot.cursor.idx != null) readout(figure, chart, plot.cursor.idx); }] },
    };
  };

  const draw = (figure) => {
    const chart = charts[figure.dataset.experiment][Number(figure.dataset.chart)];
    const place = figure.querySelector(".plot");
    place.replaceChildren();
    const data = [chart.steps, ...chart.lines.flatMap((line) => [line.mean, line.high, line.low])];
    drawn.set(figure, new uPlot(options(figure, chart), data, place));
    readout(figure, chart, chart.steps.length - 1);
  };

  const move = (figure, event) => {
    const plot = drawn.get(figure);
    const last = plot.data[0].length - 1;
    const at = plot.cursor.idx ?? last;
    const places = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
    if (!(event.key in places)) return;
    event.preventDefault();
    const index = Math.min(Math.max(places[event.key], 0), last);
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: plot.bbox.height / 4 });
  };

  const box = (fieldset, line) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "checkbox", checked: true, name: line.name });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.borderTopColor = colourOf(line);
    label.append(input, " ", swatch, ` ${line.name}`);
    input.addEventListener("change", () => toggle(fieldset.dataset.experiment, line.name, input.checked));
    fieldset.append(label);
  };

  const toggle = (experiment, name, show) => {
    hidden.get(experiment)[show ? "delete" : "add"](name);
    for (const [figure, plot] of drawn) {
      if (figure.dataset.experiment !== experiment) continue;
      plot.batch(() => plot.series.forEach((series, at) => { if (series.label === name) plot.setSeries(at, { show }); }));
    }
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !drawn.has(target)) draw(target);
    }
  });

  for (const fieldset of document.querySelectorAll("fieldset.methods")) {
    const experiment = fieldset.dataset.experiment;
    hidden.set(experiment, new Set());
    const lines = new Map(charts[experiment].flatMap((chart) => chart.lines.map((line) => [line.name, line])));
    for (const line of lines.values()) box(fieldset, line);
    fieldset.hidden = false;
  }
  for (const figure of document.querySelectorAll("figure.chart")) {
    figure.hidden = false;
    figure.querySelector(".plot").addEventListener("keydown", (event) => move(figure, event));
    seen.observe(figure);
  }
  const again = () => { for (const figure of drawn.keys()) draw(figure); };
  addEventListener("resize", again);
  dark.addEventListener("change", () => {
    again();
    for (const fieldset of document.querySelectorAll("fieldset.methods")) {
      const lines = charts[fieldset.dataset.experiment].flatMap((chart) => chart.lines);
      for (const input of fieldset.querySelectorAll("input")) {
        const line = lines.find(({ name }) => name === input.name);
        input.nextElementSibling.style.borderTopColor = colourOf(line);
      }
    }
  });
})();
