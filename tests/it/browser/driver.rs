//! A browser that a test drives: Chromium through chromedriver, which speaks JSON over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// The name under which WebDriver tells an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser, and the driver that holds it.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    /// Opens one; `None` if this machine has no Chromium with a driver.
    pub(crate) fn open() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        command.process_group(0);
        let mut driver = command.spawn().ok()?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let port = line.split("on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok()?;
            line.contains("started successfully").then_some(port)
        })?;
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self { driver, address: ([127, 0, 0, 1], port).into(), session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": PATIENCE.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64},
        }}});
        let opened = browser.ask("POST", "/session", &wanted);
        browser.session = opened["sessionId"].as_str()?.to_owned();
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(self.address).unwrap();
        // The driver itself gives up before.
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        // It keeps the connection open, whatever it is asked.
        let mut answer = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while answer.read_line(&mut head).unwrap() > 2 {
            let line = head.lines().next_back().unwrap().to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        let value = serde_json::from_slice::<Value>(&body).unwrap()["value"].take();
        if head.starts_with("HTTP/1.1 200") { Ok(value) } else { Err(value["message"].to_string()) }
    }

    fn of_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    pub(crate) fn go(&self, address: &str) {
        self.of_session("POST", "/url", &json!({"url": address}));
    }

    pub(crate) fn address(&self) -> String {
        self.of_session("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    /// Runs a script in the page; what it returns, also later, is the value.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; \
             (async (...arguments) => {{ {script} }})(...[...arguments].slice(0, -1))\
             .then(done, (error) => done({{failed: String(error)}}));"
        );
        self.of_session("POST", "/execute/async", &json!({"script": script, "args": arguments}))
    }

    /// Looks at the page by a script that returns at once. An error if it fails, or the page goes meanwhile.
    fn look(&self, script: &str, arguments: &[Value]) -> Result<Value, String> {
        let path = format!("/session/{}/execute/sync", self.session);
        self.try_ask("POST", &path, &json!({"script": script, "args": arguments}))
    }

    /// Waits until a script that returns at once returns something true, and returns it; pages may go and come
    /// meanwhile.
    pub(crate) fn wait(&self, what: &str, script: &str) -> Value {
        let began = Instant::now();
        loop {
            let seen = self.look(script, &[]);
            match seen {
                Ok(value) if !matches!(value, Value::Null | Value::Bool(false)) => return value,
                _ => {}
            }
            let text = || self.look("return document.body.innerText", &[]);
            assert!(began.elapsed() < PATIENCE, "waited for too long until {what}: {seen:?} in {:?}", text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn element(&self, using: &str, value: &str) -> String {
        let began = Instant::now();
        loop {
            let found = self.try_ask(
                "POST",
                &format!("/session/{}/element", self.session),
                &json!({"using": using, "value": value}),
            );
            match found {
                Ok(found) => return found[ELEMENT].as_str().unwrap().to_owned(),
                Err(error) => {
                    let text = || self.run("return document.body.innerText", &[]);
                    assert!(began.elapsed() < PATIENCE, "{value}: {error} in {}", text());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// Clicks as a person does: on a link by its text, or on what a selector names.
    pub(crate) fn click(&self, what: &str) {
        let is_selector = what.starts_with(['#', '.']) || what.contains('[') || what.contains('>');
        let using = if is_selector { "css selector" } else { "link text" };
        let began = Instant::now();
        loop {
            let element = self.element(using, what);
            let path = format!("/session/{}/element/{element}/click", self.session);
            match self.try_ask("POST", &path, &json!({})) {
                Ok(_) => return,
                // A page that lives may have replaced it in between.
                Err(error) => assert!(began.elapsed() < PATIENCE, "{what}: {error}"),
            }
        }
    }

    /// Types into what has the focus.
    pub(crate) fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.of_session("POST", "/actions", &actions);
    }

    /// Goes on by the Tab key to what has this text or this name, as somebody without a mouse does.
    pub(crate) fn tab_to(&self, what: &str) {
        for _ in 0..300 {
            self.keys("\u{e004}");
            let here = self.look(
                "const here = document.activeElement; \
                 return [here.innerText?.trim(), here.name, here.getAttribute('aria-label')].includes(arguments[0])",
                &[json!(what)],
            );
            if here == Ok(json!(true)) {
                return;
            }
        }
        panic!("no Tab leads to {what}: {}", self.run("return document.body.innerText", &[]));
    }

    /// Follows a link or sends a form that has the focus, and waits until the page that it leads to is there.
    pub(crate) fn leave(&self) {
        self.run("window.isLeft = true", &[]);
        self.enter();
        self.wait("another page is there", "return !window.isLeft && document.readyState === 'complete'");
    }

    /// Does what has the focus.
    pub(crate) fn enter(&self) {
        self.keys("\u{e007}");
    }

    /// Speaks to Chromium itself.
    pub(crate) fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.of_session("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// As the system of the reader is set.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.tell("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    pub(crate) fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", &size);
    }

    pub(crate) fn picture(&self, path: &Path) {
        let picture = self.of_session("GET", "/screenshot", &Value::Null);
        std::fs::write(path, STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// What pages complained of since the last time.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let said = self.of_session("POST", "/se/log", &json!({"type": "browser"}));
        let severe = said.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // The browser ends with its session. The body must be an object.
            let _ = self.try_ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        // A browser that did not end is in the driver's group; the driver's end alone would leave it.
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}
