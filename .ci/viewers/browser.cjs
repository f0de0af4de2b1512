// Opens profiles in the pages of viewers, in a browser without a screen, and keeps pictures.
//
//     node browser.cjs PICTURES speedscope|dh_view FILE...
//
// Ends with an error at the first file that the page does not show.
const fs = require('fs');
const path = require('path');
const puppeteer = require('puppeteer-core');

const CHROMIUM = '/usr/bin/chromium';
const DH_VIEW = '/usr/libexec/valgrind/dh_view.html';
const PATIENCE = { timeout: 60_000 };

const [pictures, viewer, ...files] = process.argv.slice(2);

// speedscope has the name of the profile in its title once it shows it, and tells of an error in a
// dialogue.
async function speedscope(page, file) {
  const package_ = path.dirname(require.resolve('speedscope/package.json'));
  const name = path.basename(file);
  const loader = path.resolve(pictures, `${name}.js`);
  const content = JSON.stringify(fs.readFileSync(file).toString('base64'));
  fs.writeFileSync(loader, `speedscope.loadFileFromBase64(${JSON.stringify(name)}, ${content})`);
  await page.goto('about:blank');
  await page.goto(`file://${package_}/dist/release/index.html#localProfilePath=${loader}`);
  await page.waitForFunction(() => document.title !== 'speedscope', PATIENCE);
  // The flame graph is painted; the table of the third view has the functions as text.
  await page.keyboard.press('3');
  await page.waitForFunction(() => document.body.innerText.includes('%'), PATIENCE);
  const functions = await page.evaluate(() => document.body.innerText);
  await page.keyboard.press('2');
  return `${await page.title()}\n${functions}`;
}

// dh_view shows the tree below a heading, or an error in its place.
async function dhView(page, file) {
  await page.goto(`file://${DH_VIEW}`);
  const input = await page.$('input[type=file]');
  await input.uploadFile(file);
  await page.waitForFunction(() => document.body.innerText.match(/Invocation|Error/), PATIENCE);
  const text = await page.evaluate(() => document.body.innerText);
  if (!text.includes('Invocation')) {
    throw new Error(text.match(/.*Error.*/)[0]);
  }
  return text.match(/Total:.*/)[0];
}

async function main() {
  const show = { speedscope, dh_view: dhView }[viewer];
  const browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--allow-file-access-from-files'],
  });
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1200, height: 700 });
    const dialogue = new Promise((_, reject) => {
      page.on('dialog', (dialog) => {
        reject(new Error(dialog.message()));
        dialog.dismiss();
      });
    });
    for (const file of files) {
      const shown = await Promise.race([show(page, file), dialogue]);
      const name = `${viewer}-${path.basename(path.dirname(file))}-${path.basename(file)}.png`;
      await page.screenshot({ path: path.join(pictures, name) });
      console.log(`${file}: ${shown}`);
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(`rejected: ${error.message}`);
  process.exit(1);
});
