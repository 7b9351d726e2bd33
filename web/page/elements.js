"use strict";
// Elements by their names, new ones, and the page's data.

const at = (id) => document.getElementById(id);
const data = JSON.parse(at("data").textContent);

/** A new element; text is always text, never markup. */
function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
