"use strict";
// The gallery. Text from the data only ever becomes text nodes.
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const [rows, columns] = content.grid;
  const AT_ONCE = 60; // cards that are added at a time
  const byId = (id) => document.getElementById(id);

  const add = (parent, tag, text, className) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const score = (picture) => picture.models.candidate.bleu_4;
  const gain = (picture) => score(picture) - (picture.models.baseline ? picture.models.baseline.bleu_4 : 0);
  const byName = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  const orders = {
    worst: (a, b) => score(a) - score(b) || byName(a, b),
    best: (a, b) => score(b) - score(a) || byName(a, b),
    lost: (a, b) => gain(a) - gain(b) || byName(a, b),
    gained: (a, b) => gain(b) - gain(a) || byName(a, b),
    name: byName,
  };
  for (const picture of content.pictures) {
    const captions = Object.values(picture.models).map((model) => model.caption);
    picture.text = [picture.id, ...captions, ...picture.references].join("\n").toLowerCase();
  }

  let chosen = [];
  let shown = 0;

  const image = (picture, parent) => {
    if (!picture.jpeg) return add(parent, "span", "the picture could not be read", "missing");
    const element = add(parent, "img");
    element.loading = "lazy";
    element.alt = picture.models.candidate.caption;
    element.src = "data:image/jpeg;base64," + picture.jpeg;
    return element;
  };

  const card = (picture) => {
    const element = add(byId("cards"), "article", undefined, "card");
    element.dataset.id = picture.id;
    const button = add(element, "button");
    button.type = "button";
    image(picture, button);
    button.addEventListener("click", () => open(picture));
    add(element, "p", picture.models.candidate.caption, "caption");
    add(element, "p", "BLEU-4 " + score(picture).toFixed(3), "score");
    for (const [name, model] of Object.entries(picture.models)) {
      if (name === "candidate") continue;
      add(element, "p", `${name} (${model.bleu_4.toFixed(3)}): ${model.caption}`, "note");
    }
    const details = add(element, "details");
    add(details, "summary", `${picture.references.length} references`, "note");
    for (const reference of picture.references) add(details, "p", reference, "note");
  };

  const more = () => {
    for (const picture of chosen.slice(shown, shown + AT_ONCE)) card(picture);
    shown = Math.min(shown + AT_ONCE, chosen.length);
    byId("more").hidden = shown >= chosen.length;
    byId("count").textContent = `${chosen.length} of ${content.pictures.length} pictures`;
  };

  const update = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = content.pictures.filter((picture) => words.every((word) => picture.text.includes(word)));
    chosen.sort(orders[byId("order").value]);
    byId("cards").replaceChildren();
    shown = 0;
    more();
  };

  // one map over the picture: the grid as a small image, which the canvas smooths when it makes it large
  const overlay = (canvas, picture, weights) => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    const pixels = small.getContext("2d").createImageData(columns, rows);
    weights.forEach((weight, place) => pixels.data.set([255, 70, 0, weight * 0.8], 4 * place));
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.filter = "grayscale(0.7)";
    context.drawImage(picture, 0, 0);
    context.filter = "none";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  };

  const drawMaps = (picture, source) => {
    byId("maps").replaceChildren();
    if (!picture.weights || !picture.jpeg) return;
    const bytes = Uint8Array.from(atob(picture.weights), (letter) => letter.charCodeAt(0));
    const size = rows * columns;
    picture.words.forEach((word, row) => {
      const figure = add(byId("maps"), "figure");
      const canvas = add(figure, "canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `where the model looked for "${word}"`);
      overlay(canvas, source, [...bytes.subarray(row * size, (row + 1) * size)]);
      add(figure, "figcaption", word);
    });
  };

  const open = (picture) => {
    const large = byId("large");
    large.hidden = !picture.jpeg;
    large.onload = () => drawMaps(picture, large);
    large.src = picture.jpeg ? "data:image/jpeg;base64," + picture.jpeg : "data:,";
    if (!picture.jpeg) byId("maps").replaceChildren();
    byId("said").textContent = picture.models.candidate.caption;
    byId("scores").replaceChildren();
    for (const [name, model] of Object.entries(picture.models)) {
      const figures = `BLEU-4 ${model.bleu_4.toFixed(3)}, CIDEr ${model.cider.toFixed(3)}, ROUGE-L ${model.rouge_l.toFixed(3)}`;
      add(byId("scores"), "p", `${name}: ${figures}` + (name === "candidate" ? "" : `: ${model.caption}`), "note");
    }
    add(byId("scores"), "p", picture.id, "note");
    byId("references").replaceChildren();
    for (const reference of picture.references) add(byId("references"), "li", reference);
    byId("picture").showModal();
  };

  byId("order").addEventListener("change", update);
  byId("search").addEventListener("input", update);
  byId("more").addEventListener("click", more);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  update();
})();
