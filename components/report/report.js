"use strict";
// The gallery. Text from the data only ever becomes text nodes.
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const [rows, columns] = content.grid;
  const PAGE_SIZE = 60; // cards that are added at a time
  const byId = (id) => document.getElementById(id);

  const add = (parent, tag, text, className) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const score = (image, model = "candidate") => image.models[model][content.primary];
  const improvement = (image) => score(image) - (image.models.baseline ? score(image, "baseline") : 0);
  const byName = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  const orders = {
    worst: (a, b) => score(a) - score(b) || byName(a, b),
    best: (a, b) => score(b) - score(a) || byName(a, b),
    regressed: (a, b) => improvement(a) - improvement(b) || byName(a, b),
    improved: (a, b) => improvement(b) - improvement(a) || byName(a, b),
    name: byName,
  };
  for (const image of content.images) {
    const captions = Object.values(image.models).map((model) => model.caption);
    image.text = [image.id, ...captions, ...image.references].join("\n").toLowerCase();
  }

  let selected = [];
  let numShown = 0;

  const thumbnail = (image, parent) => {
    if (!image.jpeg) return add(parent, "span", "image not available", "missing");
    const element = add(parent, "img");
    element.loading = "lazy";
    element.alt = image.models.candidate.caption;
    element.src = "data:image/jpeg;base64," + image.jpeg;
    return element;
  };

  const card = (image) => {
    const element = add(byId("cards"), "article", undefined, "card");
    element.dataset.id = image.id;
    const button = add(element, "button");
    button.type = "button";
    thumbnail(image, button);
    button.addEventListener("click", () => open(image));
    add(element, "p", image.models.candidate.caption, "caption");
    add(element, "p", `${content.scores[content.primary]} ${score(image).toFixed(content.decimals[content.primary])}`, "score");
    for (const [name, model] of Object.entries(image.models)) {
      if (name === "candidate") continue;
      add(element, "p", `${name} (${score(image, name).toFixed(content.decimals[content.primary])}): ${model.caption}`, "note");
    }
    const details = add(element, "details");
    add(details, "summary", `${image.references.length} references`, "note");
    for (const reference of image.references) add(details, "p", reference, "note");
  };

  const more = () => {
    for (const image of selected.slice(numShown, numShown + PAGE_SIZE)) card(image);
    numShown = Math.min(numShown + PAGE_SIZE, selected.length);
    byId("more").hidden = numShown >= selected.length;
    byId("count").textContent = `${selected.length} of ${content.images.length} images`;
  };

  const update = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    selected = content.images.filter((image) => words.every((word) => image.text.includes(word)));
    selected.sort(orders[byId("order").value]);
    byId("cards").replaceChildren();
    numShown = 0;
    more();
  };

  // draws one map over the image: the grid as a tiny image, which the canvas smooths when it scales it up
  const overlay = (canvas, source, weights) => {
    canvas.width = source.naturalWidth;
    canvas.height = source.naturalHeight;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    const pixels = small.getContext("2d").createImageData(columns, rows);
    weights.forEach((weight, index) => pixels.data.set([255, 70, 0, weight * 0.8], 4 * index));
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.filter = "grayscale(0.7)";
    context.drawImage(source, 0, 0);
    context.filter = "none";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  };

  const drawMaps = (image, source) => {
    byId("maps").replaceChildren();
    byId("maps-title").hidden = !image.weights || !image.jpeg;
    if (byId("maps-title").hidden) return;
    const bytes = Uint8Array.from(atob(image.weights), (letter) => letter.charCodeAt(0));
    const size = rows * columns;
    image.words.forEach((word, row) => {
      const figure = add(byId("maps"), "figure");
      const canvas = add(figure, "canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `attention weights of "${word}"`);
      overlay(canvas, source, [...bytes.subarray(row * size, (row + 1) * size)]);
      add(figure, "figcaption", word);
    });
  };

  const open = (image) => {
    const large = byId("large");
    large.hidden = !image.jpeg;
    large.onload = () => drawMaps(image, large);
    large.src = image.jpeg ? "data:image/jpeg;base64," + image.jpeg : "data:,";
    if (!image.jpeg) drawMaps(image, large);
    byId("prediction").textContent = image.models.candidate.caption;
    byId("scores").replaceChildren();
    for (const [name, model] of Object.entries(image.models)) {
      const scores = Object.entries(content.scores).filter(([metric]) => metric in model);
      const text = scores.map(([metric, label]) => `${label} ${model[metric].toFixed(content.decimals[metric])}`).join(", ");
      add(byId("scores"), "p", `${name}: ${text}` + (name === "candidate" ? "" : `: ${model.caption}`), "note");
    }
    add(byId("scores"), "p", image.id, "note");
    byId("references").replaceChildren();
    for (const reference of image.references) add(byId("references"), "li", reference);
    byId("detail").showModal();
  };

  byId("order").addEventListener("change", update);
  byId("search").addEventListener("input", update);
  byId("more").addEventListener("click", more);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  update();
})();
