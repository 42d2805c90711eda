//! The live page in a real browser, in front of a real cluster under load. See `tests/page/run`.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod shop;
mod webdriver;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::{Cluster, Options, Result, Signal, Stop, Weir, WeirSetup, send_signal, wait_for};
use shop::Shop;
use webdriver::Browser;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Where pictures go that nobody keeps.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/page");

/// The one that README shows.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/page.png");

/// What it may weigh, in bytes.
const PICTURE_MAX: u64 = 300_000;

/// A minute, so that lines are whole.
const MINUTE: Duration = Duration::from_secs(90);

/// Text on which the background is not known to be far enough from it (WCAG 2, 1.4.3: 4.5 to 1).
const TOO_PALE: &str = r"
const luminance = ([r, g, b]) => {
  const part = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const numbers = (color) => (color.match(/[\d.]+/g) || []).map(Number);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (!/rgba\(.*, 0\)$/.test(color)) return numbers(color);
  }
  return [255, 255, 255];
};
const found = new Set();
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility()) continue;
  const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) found.add(`${element.tagName}.${element.className}: ${contrast.toFixed(2)} (${element.textContent.slice(0, 30)})`);
}
return [...found].join('; ');";

const LIVE: &str = "document.body.dataset.link === 'live'";

fn main() -> Result<()> {
    fs::create_dir_all(PICTURES)?;
    let cluster = Cluster::with(Options::new(2).quiet())?;
    // Before weir reads the catalog: what it does not know yet may write, for all that it can tell.
    shop::furnish(&mut cluster.connect(0)?)?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..3)
        .probing_quickly()
        .set("metrics", "page", "true")
        .set("routing", "consistency", "\"session\"")
        .set("pool", "size", "8")
        .start(WEIR)?;
    let shop = Shop::open(&weir)?;
    let browser = Browser::start()?;
    let origin = format!("http://127.0.0.1:{}/", weir.metrics_port());
    let stage = Stage { browser, shop, weir, cluster, origin };
    stage.shows_what_there_is()?;
    stage.is_for_all_eyes_and_keys()?;
    stage.makes_the_picture()?;
    stage.follows_servers_that_die()?;
    stage.says_when_it_is_not_told()?;
    stage.works_without_scripts()?;
    println!("the page does what it should; pictures are in {PICTURES}");
    Ok(())
}

struct Stage {
    // In the order in which they end.
    browser: Browser,
    shop: Shop,
    weir: Weir,
    cluster: Cluster,
    origin: String,
}

impl Stage {
    fn says(&self, script: &str) -> Result<String> {
        let said = self.browser.run(&format!("return {script}"))?;
        Ok(said.as_str().map_or_else(|| said.to_string(), str::to_owned))
    }

    fn picture(&self, name: &str) -> Result<()> {
        self.browser.picture(&Path::new(PICTURES).join(name))
    }

    /// Nothing is wrong in the browser's eyes, and nobody else was asked.
    fn is_clean(&self) -> Result<()> {
        let console = self.browser.console()?;
        assert!(console.is_empty(), "{console:#?}");
        let asked = self.browser.asked_for()?;
        let foreign: Vec<_> = asked.iter().filter(|url| !url.starts_with(&self.origin)).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        Ok(())
    }

    fn shows_what_there_is(&self) -> Result<()> {
        let browser = &self.browser;
        browser.size(1280, 1000, 1)?;
        browser.prefers("light")?;
        browser.open(&self.origin)?;
        browser.wait("the page to be live", LIVE)?;
        browser.wait("all to be well", "document.getElementById('verdict').dataset.level === 'well'")?;
        let row = "[...document.querySelectorAll('#servers-rows tr')].map((row) => row.cells[0].textContent + ' ' + row.cells[1].textContent).join()";
        assert_eq!(self.says(row)?, "primary primary,replica1 replica,replica2 replica");
        browser.wait("lines to be drawn", "[...document.querySelectorAll('#lines .reads')].every((path) => path.getAttribute('d').length > 20)")?;
        browser.wait(
            "a reason",
            "document.getElementById('kept-rows').textContent.includes('volatile_function')",
        )?;
        browser
            .wait("a shape", "document.getElementById('shapes-rows').textContent.includes('discount(id)')")?;
        browser.wait("pinned sessions", "document.getElementById('pins-rows').rows.length >= 2")?;
        browser.wait(
            "a transaction",
            "document.getElementById('clients-rows').textContent.includes('idle in transaction')",
        )?;
        browser.wait(
            "what means no good, as text",
            "document.getElementById('clients-rows').textContent.includes('<script>window.harm')",
        )?;
        assert_eq!(
            self.says("[window.harm, document.scripts.length, document.images.length].join()")?,
            ",1,0"
        );
        // What is looked at stays where it is while figures change.
        let kept = "window.first = document.querySelector('#servers-rows tr')";
        browser.run(kept)?;
        let before = self.says("document.getElementById('share-sub').textContent")?;
        wait_for("the next figures", MINUTE, || {
            Ok((self.says("document.getElementById('share-sub').textContent")? != before).then_some(()))
        })?;
        assert_eq!(self.says("window.first === document.querySelector('#servers-rows tr')")?, "true");
        self.is_clean()
    }

    fn is_for_all_eyes_and_keys(&self) -> Result<()> {
        let browser = &self.browser;
        for scheme in ["light", "dark"] {
            browser.prefers(scheme)?;
            browser.wait("the scheme", &format!("matchMedia('(prefers-color-scheme: {scheme})').matches"))?;
            assert_eq!(browser.run(TOO_PALE)?, "", "in {scheme}");
        }
        browser.size(390, 844, 2)?;
        for scheme in ["light", "dark"] {
            browser.prefers(scheme)?;
            assert_eq!(
                self.says("document.documentElement.scrollWidth <= innerWidth")?,
                "true",
                "it is wider than a phone"
            );
            self.picture(&format!("phone-{scheme}.png"))?;
        }
        browser.size(1280, 1000, 1)?;
        browser.prefers("light")?;
        // Tab finds what can be followed, the number keys the sections.
        browser.press("\u{e004}")?;
        assert_eq!(self.says("document.activeElement.className")?, "skip");
        browser.press("6")?;
        assert_eq!(self.says("document.activeElement.id")?, "clients-h");
        browser.wait(
            "the section in sight",
            "document.getElementById('clients').getBoundingClientRect().top < innerHeight",
        )?;
        browser.press("p")?;
        assert_eq!(
            self.says(
                "document.body.dataset.link + document.getElementById('pause').getAttribute('aria-pressed')"
            )?,
            "pausedtrue"
        );
        browser.press("p")?;
        browser.wait("it to go on", LIVE)?;
        browser.press("t")?;
        let unnamed = "[...document.querySelectorAll('table')].filter((table) => !table.closest('[aria-labelledby]') || [...table.tHead.rows[0].cells].some((cell) => cell.scope !== 'col' || !cell.textContent)).length";
        assert_eq!(self.says(unnamed)?, "0", "tables have headings");
        self.is_clean()
    }

    fn makes_the_picture(&self) -> Result<()> {
        let browser = &self.browser;
        wait_for("a whole minute", MINUTE, || {
            let points = self.says(
                "(document.querySelector('#lines .reads').getAttribute('d').match(/[ML]/g) || []).length",
            )?;
            Ok((points == "60").then_some(()))
        })?;
        browser.run("scrollTo(0, 0); document.activeElement.blur()")?;
        self.browser.picture(Path::new(PICTURE))?;
        let weight = fs::metadata(PICTURE)?.len();
        assert!(weight < PICTURE_MAX, "{weight} bytes");
        browser.prefers("dark")?;
        self.picture("dark.png")?;
        let height: u32 = self.says("document.documentElement.scrollHeight")?.parse().unwrap();
        browser.size(1280, height, 1)?;
        self.picture("whole-dark.png")?;
        browser.prefers("light")?;
        self.picture("whole-light.png")?;
        browser.size(1280, 1000, 1)
    }

    fn follows_servers_that_die(&self) -> Result<()> {
        let (browser, cluster) = (&self.browser, &self.cluster);
        let level = |level: &str| format!("document.getElementById('verdict').dataset.level === '{level}'");
        cluster.stop(1, Stop::Immediate)?;
        browser.wait("its fall", &level("attention"))?;
        assert!(self.says("document.getElementById('says').textContent")?.starts_with("replica1 is down"));
        browser.wait(
            "its row",
            "document.querySelectorAll('#servers-rows tr')[1].cells[2].textContent === 'down'",
        )?;
        browser
            .wait("the event", "document.getElementById('events-rows').textContent.includes('is down')")?;
        self.picture("replica-down.png")?;
        cluster.restart(1)?;
        browser.wait("all to be well again", &level("well"))?;
        cluster.stop(0, Stop::Immediate)?;
        browser.wait("the primary's fall", &level("trouble"))?;
        self.picture("primary-down.png")?;
        cluster.restart(0)?;
        browser.wait("all to be well again", &level("well"))?;
        let before = self.shop.done.load(Ordering::Relaxed);
        wait_for("the shop to go on", MINUTE, || {
            Ok((self.shop.done.load(Ordering::Relaxed) > before + 50).then_some(()))
        })?;
        self.is_clean()
    }

    fn says_when_it_is_not_told(&self) -> Result<()> {
        let browser = &self.browser;
        let signal = |signal| send_signal(self.weir.pid(), signal);
        let broken = "!document.getElementById('broken').hidden && document.body.dataset.link === 'lost'";
        // One that hangs, and says nothing.
        signal(Signal::STOP)?;
        browser.wait("it to say so", broken)?;
        self.picture("lost.png")?;
        signal(Signal::CONT)?;
        browser.wait("it to be live again", LIVE)?;
        assert_eq!(self.says("document.getElementById('broken').hidden")?, "true");
        // One that answers, and not with events.
        let reload = |page: &str| -> Result<()> {
            let text = fs::read_to_string(self.weir.config())?;
            let text = text
                .replace("page = true", "page = false")
                .replace("page = false", &format!("page = {page}"));
            fs::write(self.weir.config(), text)?;
            assert!(
                Command::new(WEIR)
                    .arg("reload")
                    .arg("--config")
                    .arg(self.weir.config())
                    .output()?
                    .status
                    .success()
            );
            Ok(())
        };
        reload("false")?;
        browser.wait("it to say so", broken)?;
        reload("true")?;
        browser.wait("it to be live again", LIVE)?;
        // That it was not answered is all that the console has to say.
        let told: Vec<_> = browser.console()?.into_iter().filter(|line| !line.contains("/events")).collect();
        assert!(told.is_empty(), "{told:#?}");
        self.is_clean()
    }

    fn works_without_scripts(&self) -> Result<()> {
        self.browser.chromium("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true}))?;
        self.browser.open(&self.origin)?;
        self.picture("without-scripts.png")?;
        let document =
            self.browser.chromium("DOM.getDocument", serde_json::json!({"depth": -1}))?.to_string();
        assert!(document.contains("scripts are turned off here"), "{document}");
        Ok(())
    }
}
