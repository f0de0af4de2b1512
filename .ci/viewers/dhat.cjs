// Gives a profile to the code of Valgrind's own viewer, dh_view.js, without a browser.
//
//     node dhat.cjs FILE.json [BYTES]
//
// Ends with an error if the viewer refuses the file, or counts other bytes than expected. Prints the
// bytes, and the orders that the viewer offers for the file.
const fs = require('fs');
const vm = require('vm');

const VIEWER = '/usr/libexec/valgrind/dh_view.js';

// The viewer builds its page while it loads: elements that take everything.
function element() {
  return {
    childNodes: [],
    style: {},
    classList: { add() {}, remove() {}, toggle() {} },
    appendChild(child) { this.childNodes.push(child); return child; },
    setAttribute() {},
    addEventListener() {},
  };
}

const document = {
  body: element(),
  createElement: element,
  createTextNode: element,
  getElementById: element,
};
const page = vm.createContext({ document, window: {}, console });
vm.runInContext(`${fs.readFileSync(VIEWER, 'utf8')}
  this.totalOf = (data) => {
    gData = data;
    gSelect = { childNodes: gSelectData.map(() => ({})), selectedIndex: 0 };
    buildTree();
    return gRoot._totalBytes;
  };
  this.ordersOf = (data) => gSelectData
    .filter((order) => order.enable(data.bklt, data.bkacc))
    .map((order) => order.label())
    .map((label) => label.replace(/\\s+/g, ' '));`, page);

const [file, expected] = process.argv.slice(2);
try {
  const data = JSON.parse(fs.readFileSync(file, 'utf8'));
  const total = page.totalOf(data);
  if (expected !== undefined && total !== Number(expected)) {
    throw new Error(`the viewer counts ${total} bytes, expected ${expected}`);
  }
  console.log(`${total} bytes`);
  console.log(page.ordersOf(data).join('\n'));
} catch (error) {
  console.error(`rejected: ${error.message}`);
  process.exit(1);
}
