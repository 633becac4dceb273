// main.js - the parts of the desk as tabs. A part is a module that exports
//   title   the tab's text
//   open(place, desk)   builds it in an element, once, when it is first shown
//   show(desk)          it is shown (again); may be left out
//   hide()              another one is; may be left out
// and `desk` is what they share (shared.js): the session, the nodes, events.
import {el, put} from "./dom.js";
import {listen} from "./api.js";
import {desk} from "./shared.js";
import * as look from "./look.js";
import * as run from "./run.js";
import * as measure from "./measure.js";

const parts = {run, measure, look};

const places = {};
let shown = null;

function show(name) {
  const main = document.getElementById("main");
  if (!parts[name]) name = "run";
  if (shown === name) return;
  if (shown) {
    parts[shown].hide?.();
    places[shown].hidden = true;
  }
  shown = name;
  for (const tab of document.querySelectorAll("#tabs button")) {
    tab.setAttribute("aria-selected", tab.dataset.part === name);
    tab.tabIndex = tab.dataset.part === name ? 0 : -1;
  }
  if (!places[name]) {
    places[name] = el("section", {class: `part ${name}`, role: "tabpanel", "aria-label": parts[name].title});
    main.append(places[name]);
    parts[name].open(places[name], desk);
  }
  places[name].hidden = false;
  parts[name].show?.(desk);
  document.title = `${parts[name].title} - massflow desk`;
}

// Left and right go through the tabs; Alt with 1, 2, ... goes to one from anywhere.
function keys(event) {
  const names = Object.keys(parts);
  const number = Number(event.key);
  if (event.altKey && number >= 1 && number <= names.length) {
    location.hash = names[number - 1];
    event.preventDefault();
  }
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (step && document.activeElement?.closest("#tabs")) {
    const at = names.indexOf(shown);
    location.hash = names[(at + step + names.length) % names.length];
    event.preventDefault();
  }
}

function bar() {
  const session = desk.session;
  put(document.getElementById("graph"), session.graph ?? "");
}

function begin() {
  const tabs = document.getElementById("tabs");
  for (const [name, part] of Object.entries(parts))
    tabs.append(el("button", {role: "tab", "data-part": name, onclick: () => (location.hash = name)}, part.title));
  addEventListener("hashchange", () => {
    show(location.hash.slice(1).split("/")[0]);
    if (document.activeElement?.closest("#tabs")) tabs.querySelector("[aria-selected=true]").focus();
  });
  document.addEventListener("keydown", keys);
  desk.addEventListener("session", bar);
  desk.addEventListener("trouble", (event) => put(document.getElementById("state"), event.detail));
  listen();
  show(location.hash.slice(1).split("/")[0]);
}

begin();
