// xterm.js 6 under a policy without 'unsafe-inline': its <style> elements carry the page's nonce, and the style attributes that it sets become CSSOM calls.

export function allowStyles(nonce) {
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function createElement(name, options) {
    const element = create.call(this, name, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce; // before it is inserted, or it never applies
    return element;
  };
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function setAttribute(name, value) {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else set.call(this, name, value);
  };
}
