// settings.js - the parameters of the graph as a form. What is changed here is a --set; the file
// stays as it is.
import {el, put} from "./dom.js";
import {post} from "./api.js";

// The words of a choice: "a, b=other, c".
function choices(text) {
  return text.split(",").map((word) => word.trim().split("=")[0].trim()).filter(Boolean);
}

function control(param) {
  const is = param.param ?? {kind: "text"};
  const common = {id: `set-${param.name}`, name: param.name, "aria-describedby": `help-${param.name}`};
  if (is.kind === "bool")
    return el("select", common, ["true", "false"].map((word) => el("option", {}, word)));
  if (is.kind === "choice" && is.choices)
    return el("select", common, choices(is.choices).map((word) => el("option", {}, word)));
  return el("input", {...common, type: "text", spellcheck: "false", autocomplete: "off",
    inputmode: is.kind === "int" ? "numeric" : is.kind === "real" ? "decimal" : null});
}

// A select has no other words than its own; a value that is none of them is shown as it is.
function assign(input, value) {
  if (input.tagName === "SELECT" && ![...input.options].some((o) => o.value === value))
    input.append(el("option", {}, value));
  input.value = value;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

// What is plainly wrong is said at once; the rules of the engine hold when it is applied.
function check(param, text) {
  const kind = param.param?.kind;
  if (kind === "int" && !/^[+-]?\d+$/.test(text.trim())) return "a whole number";
  if (kind === "real" && !NUMBER.test(text.trim())) return "a number";
  const list = {int3: 3, real3: 3, ints: 0, reals: 0}[kind];
  if (list === undefined) return "";
  const inside = text.trim().match(/^\[(.*)\]$/s);
  if (!inside) return "a list, such as [1, 2]";
  const items = inside[1].trim() ? inside[1].split(",") : [];
  if (items.some((item) => !NUMBER.test(item.trim()))) return "a list of numbers";
  return list && items.length !== list ? `a list of ${list} numbers` : "";
}

// "lr=0.1" a line -> {lr: "0.1"}
function lines(text) {
  const set = {};
  for (const line of text.split("\n").filter((l) => l.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`a parameter is NAME=VALUE, not '${line.trim()}'`);
    set[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return set;
}

// `say` is told of errors.
export function settingsForm(desk, say) {
  const choose = el("select", {id: "graphs", "aria-label": "The graph file"});
  const graphs = el("div", {class: "graphs"}, choose,
    el("button", {title: "Reads the graph file again", onclick: () => apply().catch(say)}, "Read again"));
  const fields = el("div", {class: "fields"});
  const bare = el("textarea", {id: "bare", rows: 5, spellcheck: "false", placeholder: "data=/scans/*.nii.gz",
    "aria-label": "Parameters, NAME=VALUE a line"});
  const warnings = el("details", {class: "warnings"});
  const element = el("form", {autocomplete: "off"}, el("h2", {}, "Parameters"), warnings, fields);
  let rows = [], seen = "";

  element.addEventListener("submit", (event) => event.preventDefault());
  choose.addEventListener("change", () => post("/api/open", {graph: choose.value, set: {}}).catch(say));

  function settings() {
    if (desk.session.trouble) return lines(bare.value);
    const set = {};
    for (const {param, input} of rows)
      if (input.value !== param.written) set[param.name] = input.value;
    return set;
  }

  async function apply() {
    const wrong = rows.find(({input}) => input.getAttribute("aria-invalid") === "true");
    if (wrong) {
      wrong.input.focus();
      throw new Error(`${wrong.param.name}: ${check(wrong.param, wrong.input.value)} is needed`);
    }
    await post("/api/open", {set: settings()});
  }

  function row(param) {
    const input = control(param);
    const is = param.param;
    const reset = el("button", {type: "button", class: "reset", title: `Back to ${param.written}, as the file has it`,
      "aria-label": `${param.name}: back to the value of the file`}, "\u21ba");
    const words = [(param.comment ?? is?.help)?.replace(/\.$/, ""), is && [is.range, is.range?.includes(is.unit ?? "\0") ? null : is.unit]
      .filter(Boolean).join(" ")].filter(Boolean).join("; ");
    const line = el("div", {class: "field"},
      el("label", {for: input.id, title: is ? `${is.name} of ${param.stage}: ${is.help ?? ""}` : ""}, param.name),
      el("span", {class: "value"}, input, reset),
      el("p", {class: "soft hint", id: `help-${param.name}`}, words));
    function mark() {
      const changed = input.value !== param.written;
      reset.hidden = !changed;
      line.classList.toggle("changed", changed);
      const wrong = check(param, input.value);
      input.setAttribute("aria-invalid", !!wrong);
      input.title = wrong && `needs ${wrong}`;
    }
    assign(input, param.value);
    reset.addEventListener("click", () => {
      assign(input, param.written);
      mark();
      input.focus();
    });
    input.addEventListener("input", mark);
    mark();
    rows.push({param, input});
    return line;
  }

  return {
    graphs,
    element,
    apply,
    // Fields that a reader is typing in stay as they are, where the graph is the same.
    update() {
      const session = desk.session;
      const params = session.params ?? [];
      const file = session.graph?.split("/").pop() ?? "";
      const list = [...new Set([...(session.graphs ?? []), ...(file ? [file] : [])])];
      put(choose, file ? null : el("option", {value: ""}, "choose a graph"), list.map((name) => el("option", {}, name)));
      choose.value = file;
      put(warnings, session.warnings ? [el("summary", {}, "Warnings of the file"), el("pre", {}, session.warnings)] : null);
      warnings.hidden = !session.warnings;
      const now = JSON.stringify([session.graph, params, session.trouble]);
      if (now === seen) return;
      seen = now;
      rows = [];
      if (session.trouble) {
        bare.value = Object.entries(session.settings).map(([name, value]) => `${name}=${value}`).join("\n");
        put(fields, bare, el("p", {class: "soft hint"}, "What they may be is known once the file can be read. NAME=VALUE a "
          + "line; then Read again."));
        return;
      }
      put(fields, params.length ? params.map(row) : el("p", {class: "soft"}, "The graph has none."));
    },
  };
}
