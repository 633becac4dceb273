// run.js - the part Run.
import {el, put} from "./dom.js";

export const title = "Run";

export function open(place, desk) {
  const list = el("ul", {});
  place.append(list);
  const draw = () => put(list, desk.nodes.map((node) => el("li", {}, node.name, " ", node.state)));
  desk.addEventListener("nodes", draw);
  draw();
}
