// measure.js - the part Measure.
import {el} from "./dom.js";

export const title = "Measure";

export function open(place) {
  place.append(el("p", {}, "No tables yet."));
}
