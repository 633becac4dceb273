// example.js - the tool "By example": a label of the volume that is shown, or an object that was clicked in it,
// is found in another scan by a model of the graph, without training.

import {post} from "./api.js";
import {el, put, seconds} from "./dom.js";
import {choose} from "./layer_list.js";

const OBJECT = "object"; // the choice of what was clicked

export class Example {
  constructor(look, click) {
    this.look = look;
    this.click = click; // whose object may be the example, and whose model found it
    this.build();
  }

  build() {
    this.label = el("select", {id: "example-label"});
    this.model = el("select", {id: "example-model"});
    this.scan = el("select", {id: "example-scan"});
    this.find = el("button", {type: "button", class: "main", id: "example-find", onclick: () => this.run()}, "Find it there");
    this.stop = el("button", {type: "button", hidden: true, onclick: () => post("/api/click/stop")}, "Stop");
    this.note = el("p", {class: "quiet", role: "status", id: "example-note"});
    this.box = el("details", {class: "look-tool", id: "example"}, el("summary", {}, "Find by example"),
      el("label", {}, "Example", this.label), el("label", {}, "Model", this.model), el("label", {}, "In", this.scan),
      el("div", {class: "look-windows"}, this.find, this.stop), this.note);
    this.box.addEventListener("toggle", () => this.refresh());
    this.root = this.box;
  }

  get volume() {
    return this.look.panes[0]?.volume;
  }

  /** Entries of label maps over the volume that are results of the graph, as it is now, and of no other case. */
  *labels() {
    const known = new Map(this.look.known.map((k) => [k.id, k])), pane = this.look.panes[0];
    for (const layer of pane?.layers ?? []) {
      const result = known.get(layer.volume.id), of = this.look.caseOf(layer.volume.id);
      if (layer.masks || !result || (of !== null && of !== pane.case)) continue;
      for (const item of layer.items ?? []) yield {layer, result, item};
    }
  }

  /** Fills the lists, and keeps what is chosen. */
  refresh() {
    if (!this.box.open) return;
    const fill = (select, none, options) => {
      const chosen = select.value;
      put(select, options.length ? null : el("option", {value: ""}, none), options);
      select.value = chosen;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    };
    const labels = [...this.labels()].map(({layer, item}) => el("option", {value: `${layer.volume.id} ${item.value}`},
      `${item.name} (${layer.name})`));
    if (this.click.prompts && this.click.mask) labels.push(el("option", {value: OBJECT}, "the object that is clicked"));
    fill(this.label, "add labels above, or click an object", labels);
    const of = (type) => this.look.known.filter((k) => k.type === type);
    fill(this.model, "no model yet: run the graph", of("model").map((k) => el("option", {value: k.output}, k.label)));
    fill(this.scan, "no other scan", of("volume").filter((k) => k.id !== this.volume?.id)
      .map((k) => el("option", {value: k.output}, k.label)));
    this.find.disabled = !this.label.value || !this.model.value || !this.scan.value;
  }

  named(output) {
    const k = this.look.known.find((r) => r.output === output);
    return k && {output: k.output, id: k.id};
  }

  /** What is asked for; the name of what is looked for. */
  body() {
    const example = this.named(this.click.outputOf(this.volume));
    const asked = {example, model: this.named(this.model.value), scan: this.named(this.scan.value)};
    if (this.label.value === OBJECT) {
      const p = this.click.prompts;
      return [{...asked, object: {axis: p.axis, slice: p.slice, points: p.points, box: p.box ?? undefined,
        model: this.named(this.click.model.value) ?? null}}, `object ${this.click.number}`];
    }
    const {layer, result, item} = [...this.labels()].find((l) => `${l.layer.volume.id} ${l.item.value}` === this.label.value);
    return [{...asked, labels: {output: result.output, id: layer.volume.id}, label: item.value}, item.name];
  }

  async run() {
    const [body, name] = this.body(), from = this.look.labelOf(body.example.id);
    this.find.disabled = true;
    this.stop.hidden = false;
    await this.click.work(`looking for ${name}`, async () => {
      const answer = await post("/api/click/example", body);
      await this.look.openVolume(body.scan.id);
      this.look.layers = []; // those of the example, even where its voxels lie alike
      const layer = await this.look.openLayer(answer.id, `${name} by example`);
      this.look.showLayers();
      const settings = `Settings of ${answer.from}. `;
      if (!layer.items.length) put(this.note, `Nothing was found. ${settings}`);
      else {
        choose(this.look, layer, layer.items[0]);
        put(this.note, `Found in ${seconds(answer.seconds)}, by the example of ${from}. ${settings}`,
          "It is kept in the cache; \"save\" writes it as NIfTI.");
      }
    }, this.note);
    this.stop.hidden = true;
    this.refresh();
  }
}
