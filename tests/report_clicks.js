// Appended to a report of Snakemake: clicks everything that a reader can, and logs what went wrong.
// A reader's window stands for all: what is higher than it cannot be scrolled to its top.
(async () => {
  const wrong = [];
  const opened = {};
  let place = "the start";
  const fails = (what) => wrong.push(`${place}: ${what}`);
  addEventListener("error", (event) => fails(event.message));
  addEventListener("unhandledrejection", (event) => fails(event.reason));
  const shown = () => new Promise((resolve) => setTimeout(resolve, 5));
  const nav = () => document.querySelector("nav");

  async function click(element) {
    if (!element) return fails("there is nothing to click");
    element.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, view: window }));
    await shown();
    if (!nav()) throw new Error("the page is blank");
  }

  const link = (text) => [...nav().querySelectorAll("a")].find((a) => a.textContent.trim() === text);
  const rows = () => [...nav().querySelectorAll("tbody tr")];
  const home = () => click(nav().querySelector("ol a"));

  async function checkView() {
    const view = document.querySelector("#app > div > div:last-child");
    const picture = view.querySelector("img");
    if (!picture) return view.querySelector("iframe") || fails("neither picture nor page");
    for (let tries = 0; !picture.complete && tries < 200; tries++) await shown();
    const { top, bottom, width } = picture.getBoundingClientRect();
    if (!width) fails("the picture is not seen");
    if (top < 0 || bottom > innerHeight) fails(`from ${top} to ${bottom} in a window of ${innerHeight} pixels`);
  }

  // A page of text may be higher than the window; its top is seen all the same.
  function checkTop() {
    const view = document.querySelector("#app > div > div:last-child");
    const { top } = view.firstElementChild.getBoundingClientRect();
    if (top < 0) fails(`begins at ${top}, above the window`);
  }

  async function checkEntry(category, number) {
    const name = rows()[number].querySelector("td").textContent;
    place = `${category}, ${name}`;
    opened[category].push(name);
    const view = rows()[number].querySelector("td:last-child a");
    if (view.hasAttribute("download")) {
      if (!view.href.startsWith("data:")) fails("no file to download");
    } else {
      await click(view);
      await checkView();
    }
    await click(rows()[number].querySelectorAll("td:last-child a")[1]);
    if (!nav().textContent.includes("Caption") && !nav().querySelector(".prose")) fails("no caption");
    await click(link(category));
  }

  async function checkCategory(category) {
    place = category;
    opened[category] = [];
    await click(link(isSingleCategory() ? "Results" : category));
    const expected = Object.values(categories[category]).flat().length;
    if (rows().length !== expected) fails(`${rows().length} of ${expected} results are listed`);
    for (let number = 0; number < rows().length; number++) await checkEntry(category, number);
    await home();
  }

  try {
    await shown();
    for (const general of ["Workflow", "Statistics", "About"]) {
      place = general;
      await click(link(general));
      checkTop();
      await home();
    }
    for (const category of Object.keys(categories)) await checkCategory(category);
    place = "the search";
    app.setView({ navbarMode: "searchresults", searchTerm: "results/" });
    await shown();
    const total = Object.keys(results).length;
    if (!nav()) fails("the page is blank");
    else if (rows().length !== total) fails(`${rows().length} of ${total} results are found`);
  } catch (error) {
    fails(error.message);
  }
  console.log("clicks: " + JSON.stringify({ wrong, opened }));
})();
