// From clips to a model: collect and name clips, train, watch.
import { dropArea } from "./drop.js";
import { formatScore } from "./format.js";
import { at, formatLeft, say } from "./shared.js";

const main = at("main");
const POLL = 400; // milliseconds
let id = main.dataset.training;
const clips = new Map(); // id -> { name, label, group }
const json = { "content-type": "application/json" };
const failed = (found) => (typeof found?.detail === "string" ? found.detail : "The studio could not do this.");
const api = async (path, options) => {
  const reply = await fetch(`/api/trainings${path}`, options);
  const found = reply.status === 204 ? null : await reply.json();
  if (!reply.ok) throw new Error(failed(found));
  return found;
};

// Clips: files, or folders whose names are the actions.
const VIDEO = /\.(mp4|m4v|mkv|avi|mov|webm|mpe?g|wmv|ogv|3gp|ts|flv|gif)$/i;
const walk = async (entry, path = []) => {
  if (entry.isFile) return [{ file: await new Promise((done, fail) => entry.file(done, fail)), path }];
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    all.push(...some);
  }
  return (await Promise.all(all.map((one) => walk(one, [...path, entry.name])))).flat();
};
// CLASS/FILM/file: a folder around all the folders says nothing, and is left out.
const named = (found) => {
  const deep = found.filter(({ path }) => path.length);
  const shared = deep.length && deep.every(({ path }) => path.length > 1 && path[0] === deep[0].path[0]) ? 1 : 0;
  return found.map(({ file, path }) => {
    const [label = at("next").value.trim(), ...film] = path.slice(path.length ? shared : 0);
    return { file, label, group: film.join("/") };
  });
};

const upload = (clip, tell) =>
  new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ name: clip.file.name, label: clip.label, group: clip.group });
    request.open("POST", `/api/trainings/${id}/clips?${query}`);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (event) => tell(event.loaded / event.total);
    request.onload = () => {
      let found = null;
      try {
        found = JSON.parse(request.responseText);
      } catch {
        found = null;
      }
      if (request.status === 201) done(found);
      else fail(new Error(failed(found)));
    };
    request.onerror = () => fail(new Error("it did not arrive"));
    request.send(clip.file);
  });
let arriving = Promise.resolve();
const add = (found) => {
  arriving = arriving.then(() => send(found)).catch((error) => say(error.message, true));
  return arriving;
};
const send = async (found) => {
  const videos = named(found.filter(({ file }) => VIDEO.test(file.name) || file.type.startsWith("video/")));
  const skipped = found.length - videos.length;
  if (!videos.length) return say(skipped ? `${skipped} file${skipped === 1 ? " is" : "s are"} no video.` : "", true);
  if (!id) {
    id = (await api("", { method: "POST" })).id;
    history.replaceState(null, "", `/teach/${id}`);
  }
  const bar = at("sent");
  bar.hidden = false;
  const wrong = [];
  for (const [number, clip] of videos.entries()) {
    say(`Sending ${clip.file.name}, ${number + 1} of ${videos.length}`);
    const tell = (share) => (bar.value = (number + share) / videos.length);
    if (clip.file.size > Number(main.dataset.most)) wrong.push(`${clip.file.name}: larger than ${Number(main.dataset.most) / 2 ** 20} MB`);
    else {
      try {
        const made = await upload(clip, tell);
        clips.set(made.id, made);
        row(made);
      } catch (error) {
        wrong.push(`${clip.file.name}: ${error.message}`);
      }
    }
  }
  bar.hidden = true;
  count();
  const skips = skipped ? ` ${skipped} other file${skipped === 1 ? " is" : "s are"} no video.` : "";
  say(wrong.length ? `${wrong.length} of ${videos.length} clips were not taken: ${wrong.slice(0, 3).join("; ")}.${skips}` : `${videos.length} clip${videos.length === 1 ? " has" : "s have"} arrived.${skips}`, wrong.length > 0);
};

const row = (clip) => {
  const line = document.createElement("li");
  const name = document.createElement("span");
  name.className = "clip-name";
  name.textContent = clip.group ? `${clip.name} (${clip.group})` : clip.name;
  const label = document.createElement("input");
  label.type = "text";
  label.maxLength = 120;
  label.value = clip.label;
  label.setAttribute("list", "actions");
  label.setAttribute("aria-label", `What ${clip.name} shows`);
  label.addEventListener("input", () => {
    clip.label = label.value;
    count();
  });
  label.addEventListener("change", keep);
  const parts = document.createElement("span");
  parts.className = "soft small";
  const told = [clip.segments ? `${clip.segments} segment${clip.segments === 1 ? "" : "s"}` : "", clip.drawn ? `${clip.drawn} drawn thing${clip.drawn === 1 ? "" : "s"}` : ""].filter(Boolean);
  parts.textContent = told.length ? `${told.join(", ")} ` : "";
  const mark = document.createElement("a");
  mark.href = `/teach/${id}/clips/${clip.id}`;
  mark.textContent = "mark";
  mark.addEventListener("click", async (event) => {
    event.preventDefault();
    await keep();
    location.assign(mark.href);
  });
  mark.setAttribute("aria-label", `Mark ${clip.name}: segments, boxes`);
  const drop = document.createElement("button");
  drop.type = "button";
  drop.className = "link";
  drop.textContent = "remove";
  drop.setAttribute("aria-label", `Remove ${clip.name}`);
  drop.addEventListener("click", async () => {
    const next = line.nextElementSibling ?? line.previousElementSibling;
    try {
      await api(`/${id}/clips/${clip.id}`, { method: "DELETE" });
    } catch (error) {
      return say(error.message, true);
    }
    clips.delete(clip.id);
    line.remove();
    count();
    (next?.querySelector("button") ?? at("files")).focus();
  });
  name.append(" ", parts);
  const ways = document.createElement("span");
  ways.className = "ways";
  ways.append(mark, drop);
  line.append(name, label, ways);
  at("clips").append(line);
  clip.field = label;
};

const count = () => {
  const counts = new Map();
  for (const { label, segments } of clips.values()) if (label.trim() && !segments) counts.set(label.trim(), (counts.get(label.trim()) ?? 0) + 1);
  const listed = [...counts].map(([name, n]) => `${name} ${n}`).join(", ");
  const nameless = [...clips.values()].filter(({ label, segments }) => !label.trim() && !segments).length;
  const cut = [...clips.values()].filter(({ segments }) => segments).length;
  at("names").hidden = at("discard").hidden = at("look-section").hidden = !clips.size;
  at("all").hidden = !nameless;
  at("count").textContent = `${clips.size} clip${clips.size === 1 ? "" : "s"}${listed ? `: ${listed}` : ""}${nameless ? `; ${nameless} without an action` : ""}${cut ? `; ${cut} marked in segments` : ""}. A fifth of them is kept for testing.`;
  at("actions").replaceChildren(...[...counts.keys()].map((name) => new Option(name, name)));
};

// Things: what the detector found, to rename, merge, drop, and to say who acts.
let things = null;
const list = (found) => {
  things = found.length ? found : null;
  at("look").textContent = things ? "Look again" : "Look at the things first";
  at("found").replaceChildren(
    ...found.map((thing) => {
      const line = document.createElement("li");
      const head = document.createElement("p");
      head.textContent = `${thing.kind}, in ${thing.clips} clip${thing.clips === 1 ? "" : "s"}, score ${formatScore(thing.score)}`;
      const pictures = document.createElement("p");
      pictures.className = "pictures";
      for (const address of thing.pictures) {
        const image = document.createElement("img");
        image.src = address;
        image.alt = `${thing.kind}, as it was found`;
        pictures.append(image);
      }
      const name = document.createElement("input");
      name.type = "text";
      name.maxLength = 120;
      name.value = thing.name;
      name.setAttribute("aria-label", `Name of ${thing.kind}`);
      name.addEventListener("input", () => (thing.name = name.value));
      const tick = (key, text) => {
        const label = document.createElement("label");
        label.className = "tick";
        const box = document.createElement("input");
        box.type = "checkbox";
        box.checked = thing[key];
        box.addEventListener("change", () => (thing[key] = box.checked));
        label.append(box, text);
        return label;
      };
      line.append(head, pictures, name, tick("keep", "used"), tick("acts", "acts"));
      return line;
    }),
  );
};
let naming = Promise.resolve(); // a page that is left takes its requests with it, so that links wait for this
const keep = () => {
  const body = JSON.stringify({ labels: labels() });
  naming = naming.then(() => api(`/${id}/names`, { method: "PUT", headers: json, body })).catch((error) => say(error.message, true));
  return naming;
};
const choices = () => things?.map(({ kind, name, keep, acts }) => ({ kind, name: name.trim() || kind, keep, acts })) ?? null;
const labels = () => Object.fromEntries([...clips].map(([key, { label }]) => [key, label]));

// The training: its stage, its curve, its end.
const draw = ({ points, epoch, epochs }) => {
  at("curve").hidden = !points.length;
  if (!points.length) return;
  const [least, most] = [Math.min, Math.max].map((of) => of(...points.map(([, loss]) => loss)));
  const place = ([share, loss]) => [56 + 576 * share, 200 - (180 * (loss - least)) / (most - least || 1)];
  at("line").setAttribute("points", points.map((p) => place(p).map((x) => x.toFixed(1)).join(",")).join(" "));
  const [x, y] = place(points.at(-1));
  at("dot").setAttribute("cx", x);
  at("dot").setAttribute("cy", y);
  at("top").textContent = formatScore(most);
  at("low").textContent = formatScore(least);
  at("passes").textContent = `pass ${epoch} of ${epochs}`;
  at("curve-text").textContent = `Loss from ${formatScore(points[0][1])} to ${formatScore(points.at(-1)[1])} after ${epoch} of ${epochs} passes`;
};
const notes = (all) => {
  at("notes").replaceChildren(
    ...all.map((text) => {
      const line = document.createElement("li");
      line.textContent = text;
      return line;
    }),
  );
};
const watch = async () => {
  at("collect").hidden = true;
  at("work").hidden = false;
  at("hello").hidden = true;
  for (;;) {
    const reply = await fetch(`/api/trainings/${id}`).catch(() => null);
    if (reply?.status === 404) return location.assign(`/teach/${id}`); // deleted, or the studio was started again: the page says so
    const found = reply?.ok ? await reply.json() : null;
    if (!found) say("The studio does not answer; is it still running?", true);
    else {
      if (found.state === "done") return location.reload();
      if (found.state !== "waiting" && found.state !== "running") return collect(found);
      say("");
      at("stage").textContent = found.state === "waiting" ? "Waiting for the training before" : found.stage;
      at("progress").value = found.share;
      at("left").textContent = formatLeft(found.left);
      draw(found.curve);
      notes(found.notes);
    }
    await new Promise((done) => setTimeout(done, POLL));
  }
};
const collect = async (found) => {
  at("collect").hidden = at("hello").hidden = false;
  at("work").hidden = true;
  clips.clear();
  at("clips").replaceChildren();
  for (const clip of found?.clips ?? []) {
    clips.set(clip.id, clip);
    row(clip);
  }
  count();
  if (found?.model) at("name").value = found.model;
  if (found?.state === "failed") say(`There is no model. ${found.error}`, true);
  if (found?.state === "stopped") say("Stopped. The clips are still here.");
  if (found) notes(found.notes);
  list(found?.things ? await api(`/${id}/things`).catch(() => []) : []);
  main.dataset.ready = "yes";
};

if (at("form")) {
  at("files").addEventListener("change", () => {
    add([...at("files").files].map((file) => ({ file, path: [] })));
    at("files").value = "";
  });
  at("folder").addEventListener("change", () => {
    const files = [...at("folder").files].sort((a, b) => a.webkitRelativePath.localeCompare(b.webkitRelativePath, undefined, { numeric: true }));
    add(files.map((file) => ({ file, path: file.webkitRelativePath.split("/").slice(0, -1) })));
    at("folder").value = "";
  });
  dropArea((dropped) => {
    const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...dropped.files].map((file) => ({ file, path: [] }));
    if (entries.length) Promise.all(entries.map((one) => walk(one))).then((found) => add(found.flat()), () => say("These could not be read.", true));
    else add(files);
  });
  at("fill").addEventListener("click", () => {
    for (const clip of clips.values()) if (!clip.label.trim()) clip.field.value = clip.label = at("every").value;
    at("every").value = "";
    count();
    keep();
  });
  at("discard").addEventListener("click", async () => {
    if (id) await api(`/${id}`, { method: "DELETE" }).catch(() => null);
    location.assign("/teach");
  });
  at("look").addEventListener("click", async () => {
    await arriving;
    try {
      await api(`/${id}/things`, { method: "POST", headers: json, body: JSON.stringify({ labels: labels() }) });
    } catch (error) {
      return say(error.message, true);
    }
    watch();
  });
  at("stop").addEventListener("click", () => api(`/${id}/stop`, { method: "POST" }).catch((error) => say(error.message, true)));
  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await arriving;
    if (!id) return say("First there must be clips.", true);
    const epochs = at("epochs").value ? Number(at("epochs").value) : null;
    try {
      await api(`/${id}/start`, { method: "POST", headers: json, body: JSON.stringify({ model: at("name").value, labels: labels(), epochs, things: choices() }) });
    } catch (error) {
      return say(error.message, true);
    }
    watch();
  });
  const found = id ? await api(`/${id}`).catch(() => null) : null;
  if (found && (found.state === "waiting" || found.state === "running")) {
    main.dataset.ready = "yes";
    watch();
  } else collect(found);
}
