"use strict";
// What people type only ever becomes text, never markup.

const element = (id) => document.getElementById(id);
const talk = element("talk"), messages = element("messages"), user = element("user"), text = element("text");
const SHORTEST_WAIT = 500, LONGEST_WAIT = 15000, SHOWN_MESSAGES = 300;

// A window stays the same person when it is loaded again, or connects again. Nobody else ever sees the key.
const remember = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* then it is not remembered */ } };
const recall = (name) => { try { return sessionStorage.getItem(name); } catch { return null; } };
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const key = recall("key") || newKey();
remember("key", key);
user.value = recall("user") || "";

let socket = null, timer = null, wait = SHORTEST_WAIT;
let room = null, you = null, newest = 0;
let unconfirmed = [];
let people = new Map();
let atEnd = true, layout = "";

const isOpen = () => socket.readyState === WebSocket.OPEN && you !== null;
const send = (message) => socket.send(JSON.stringify(message));
const hello = () => send({type: "hello", user: user.value, key});

function connect() {
  clearTimeout(timer);
  show("connecting", "Connecting…");
  const url = new URL("chat", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = hello;
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    handlers[message.type]?.(message);
  };
  socket.onclose = (event) => {
    you = null;
    // Not all at the same moment when a server comes back.
    const delay = wait * (0.5 + Math.random() / 2);
    wait = Math.min(wait * 2, LONGEST_WAIT);
    const why = event.reason ? event.reason : "no connection";
    show("closed", `${why[0].toUpperCase()}${why.slice(1)}, retry in ${Math.ceil(delay / 1000)} s`);
    timer = setTimeout(connect, delay);
  };
}

function connectNow() {
  if (socket.readyState === WebSocket.CLOSED) {
    wait = SHORTEST_WAIT;
    connect();
  }
}

const handlers = {
  welcome(message) {
    wait = SHORTEST_WAIT;
    you = message.you;
    if (message.room !== room) {
      // Not the server that we knew: it counts its messages anew.
      room = message.room;
      newest = 0;
      messages.replaceChildren();
    }
    // A screen reader need not read all of it.
    talk.setAttribute("aria-busy", "true");
    message.history.forEach(add);
    talk.removeAttribute("aria-busy");
    show("open", "Connected");
    giveBack(unconfirmed);
    unconfirmed = [];
  },
  message(message) {
    // Before the welcome: it will be in the history.
    if (you !== null) add(message);
  },
  people(message) {
    showPeople(message.people);
  },
  refused(message) {
    notify(message.reason);
    confirm(message.text);
    giveBack([message.text]);
  },
};

function show(name, words) {
  const state = element("state");
  state.dataset.state = name;
  state.textContent = words;
  element("submit").setAttribute("aria-disabled", name !== "open");
}

function notify(words) {
  const notice = element("notice");
  notice.textContent = words;
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => { notice.textContent = ""; }, 5000);
}

function confirm(words) {
  const index = unconfirmed.indexOf(words);
  if (index >= 0) unconfirmed.splice(index, 1);
}

// What did not get through can be sent again.
function giveBack(all) {
  if (!text.value) text.value = all.join(" ");
}

function make(tag, className, content) {
  const made = document.createElement(tag);
  made.className = className;
  // Each is written in its own direction, whatever stands around it.
  made.dir = "auto";
  made.textContent = content;
  return made;
}

// Everybody has a colour, and two of the same name have two.
const hue = (id) => parseInt(id.slice(0, 6), 16) % 360;

// Who came later under a name that is in use is told apart by a part of the identity.
function markOf(id, name) {
  for (const [other, otherName] of people) {
    if (other === id) break;
    if (otherName === name) return `#${id.slice(0, 3)}`;
  }
  return "";
}

function add(message) {
  if (message.number <= newest) return;
  newest = message.number;
  const isOwn = message.from === you;
  if (isOwn) confirm(message.text);
  const item = document.createElement("li"), last = messages.lastElementChild;
  const name = `${message.user} ${markOf(message.from, message.user)}`.trim();
  item.dataset.from = message.from;
  item.dataset.name = name;
  item.classList.toggle("own", isOwn);
  item.classList.toggle("more", last !== null && last.dataset.from === message.from && last.dataset.name === name);
  item.style.setProperty("--hue", hue(message.from));
  const when = new Date(message.at * 1000), time = document.createElement("time");
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  time.textContent = when.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  const body = make("div", "text", message.text);
  body.append(time);
  item.append(make("div", "by", isOwn ? "You" : name), body);
  messages.append(item);
  while (messages.childElementCount > SHOWN_MESSAGES) messages.firstElementChild.remove();
  if (isOwn) atEnd = true;
  follow();
}

// Who reads the last message goes on seeing the last one, also when the keyboard of a phone takes half of the height.
// What scrolls because the layout has changed was not scrolled by somebody.
const sizes = () => `${talk.scrollHeight} ${talk.clientHeight}`;
function follow() {
  layout = sizes();
  if (atEnd) talk.scrollTop = talk.scrollHeight;
}

function showPeople(list) {
  people = new Map(list.map(({id, user: name}) => [id, name]));
  element("count").textContent = list.length;
  element("people").replaceChildren(...list.map(({id, user: name}) => {
    const item = document.createElement("li");
    item.classList.toggle("you", id === you);
    item.style.setProperty("--hue", hue(id));
    item.dataset.initial = [...name][0].toUpperCase();
    item.title = name;
    item.append(make("span", "", name));
    const mark = markOf(id, name);
    if (mark) item.append(make("small", "", mark));
    return item;
  }));
}

document.forms[0].addEventListener("submit", (event) => {
  event.preventDefault();
  text.focus();
  const words = text.value.trim();
  if (!words) return;
  if (!isOpen()) {
    notify("Not sent yet: there is no connection.");
    return;
  }
  unconfirmed.push(words);
  send({type: "message", text: words});
  text.value = "";
});
user.addEventListener("change", () => {
  user.value = user.value.trim();
  remember("user", user.value);
  if (isOpen()) hello();
});
user.addEventListener("keydown", (event) => {
  // The change comes first: it is told when the field loses the focus.
  if (event.key === "Enter" && !event.isComposing) text.focus();
});
addEventListener("online", connectNow);
addEventListener("offline", () => socket.close());
document.addEventListener("visibilitychange", () => { if (!document.hidden) connectNow(); });
talk.addEventListener("scroll", () => {
  if (layout !== sizes()) follow();
  else atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 60;
});
new ResizeObserver(follow).observe(talk);
connect();
