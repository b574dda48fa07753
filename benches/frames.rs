//! What `parselog collect` takes from stock handlers of Python, beside the receiver of Python's own recipe.
//!
//! Both get the same pickled records over as many connections, as fast as they read; the bytes are made before.
//! Both write each record to a file. A receiver that closes a connection has handled all of it. Processor time is that
//! of all processes of the receiver without the database's; parselog's compress what they stored meanwhile.
//! `make bench BENCH="frames -- 200000"` says how many records parselog gets; the recipe gets a tenth.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench's own threads belong to no run")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use parselog_benches::{Served, children, peak_memory, processor_time};

/// Connections that send at once.
const SENDERS: usize = 4;
/// Different records, which are sent again and again.
const RECORDS: usize = 5000;
const ROUNDS: usize = 3;

/// Writes the frames of a stock handler into a file.
const MAKE: &str = r#"
import logging, logging.handlers, sys
handler = logging.handlers.SocketHandler("localhost", 0)
with open(sys.argv[1], "wb") as file:
    for number in range(int(sys.argv[2])):
        record = logging.LogRecord("app.views", logging.INFO, "/app/views.py", number % 400,
            "GET /files/%d was answered with %d in %d ms", (number, 200, 12), None, "show")
        record.user = "ann"
        file.write(handler.makePickle(record))
"#;

/// The receiver of the logging cookbook, with a file handler, at a free port. The cookbook's own takes a length that
/// arrives in two pieces for the end of the connection; this one waits for it.
const RECIPE: &str = r#"
import logging, logging.handlers, pickle, socket, socketserver, struct, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            chunk = self.connection.recv(4, socket.MSG_WAITALL)
            if len(chunk) < 4:
                break
            slen = struct.unpack(">L", chunk)[0]
            chunk = self.connection.recv(slen)
            while len(chunk) < slen:
                chunk = chunk + self.connection.recv(slen - len(chunk))
            record = logging.makeLogRecord(pickle.loads(chunk))
            logging.getLogger(record.name).handle(record)
logging.basicConfig(filename=sys.argv[1], format="%(relativeCreated)5d %(name)-15s %(levelname)-8s %(message)s")
logging.getLogger().setLevel(logging.INFO)
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// What a receiver needed.
struct Pace {
    taken: Duration,
    processor: Duration,
    memory_mb: u64,
}

fn main() -> Result<()> {
    let records: usize = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"))
        .map_or(Ok(200_000), |word| word.parse())?;
    let folder = tempfile::tempdir()?;
    let frames = frames(folder.path())?;
    let (mut ours, mut recipes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(collect(&frames, records)?);
        recipes.push(recipe(folder.path(), &frames, records / 10)?);
    }
    let ours = told("parselog collect", records, ours);
    let recipes = told("the recipe of Python", records / 10, recipes);
    println!("frames     {:.1} times the recipe's records in a second of processor time", ours / recipes);
    Ok(())
}

/// Prints the best of the rounds; returns the records in a second of processor time.
fn told(name: &str, records: usize, rounds: Vec<Pace>) -> f64 {
    let best = rounds.into_iter().min_by_key(|pace| pace.processor).expect("there were rounds");
    let [pace, of_core] = [best.taken, best.processor].map(|time| records as f64 / time.as_secs_f64());
    println!(
        "frames     {pace:.0} records/s, {of_core:.0} in a second of processor time, peak memory {} MB: {name}",
        best.memory_mb
    );
    of_core
}

fn collect(frames: &[u8], records: usize) -> Result<Pace> {
    let collector = Served::collecting(&["--segment-size", "4GiB"])?;
    let pace = paced(&collector.child, collector.address, frames, records)?;
    let stored = fs::read_dir(collector.home.path().join("spool"))?
        .filter_map(|entry| fs::read(entry.ok()?.path()).ok())
        .map(|file| file.windows(19).filter(|bytes| *bytes == b"was answered with 2").count())
        .sum::<usize>();
    ensure!(stored == records, "{stored} of {records} records are stored");
    Ok(pace)
}

fn recipe(folder: &Path, frames: &[u8], records: usize) -> Result<Pace> {
    let log = folder.join("recipe.log");
    let mut child = Command::new("python3").args(["-c", RECIPE]).arg(&log).stdout(Stdio::piped()).spawn()?;
    let mut port = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut port)?;
    let pace = paced(&child, ([127, 0, 0, 1], port.trim().parse()?).into(), frames, records);
    child.kill()?;
    child.wait()?;
    let stored = BufReader::new(File::open(&log)?).lines().count();
    fs::remove_file(log)?;
    ensure!(stored == records, "{stored} of {records} records are stored");
    pace
}

/// Sends so many records, and waits until all are handled.
fn paced(receiver: &Child, address: SocketAddr, frames: &[u8], records: usize) -> Result<Pace> {
    let id = receiver.id().to_string();
    let before = processor_time(&id).context("the system does not say")?;
    let began = Instant::now();
    let send = || -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        for _ in 0..records / SENDERS / RECORDS {
            stream.write_all(frames)?;
        }
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    };
    ensure!(records.is_multiple_of(SENDERS * RECORDS), "a multiple of {}", SENDERS * RECORDS * 10);
    std::thread::scope(|threads| {
        let senders: Vec<_> = (0..SENDERS).map(|_| threads.spawn(send)).collect();
        senders.into_iter().try_for_each(|sender| sender.join().expect("it does not panic"))
    })?;
    let taken = began.elapsed();
    let processor = processor_time(&id).context("the system does not say")? - before;
    let processes = children(&id).into_iter().chain([id]);
    let memory_mb = processes.filter_map(|id| peak_memory(&id)).max().unwrap_or_default() / 1000;
    Ok(Pace { taken, processor, memory_mb })
}

fn frames(folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join("frames");
    let made = Command::new("python3").args(["-c", MAKE]).arg(&path).arg(RECORDS.to_string()).status()?;
    ensure!(made.success(), "python3 made no frames");
    Ok(fs::read(path)?)
}
