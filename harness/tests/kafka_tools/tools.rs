//! One tool at a time: its arguments, its output, and what is expected of it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where Kafka is installed, if it is.
pub fn home() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HIGHWATER_KAFKA_HOME")?);
    let tool = script(&home, "kafka-topics");
    assert!(tool.exists(), "HIGHWATER_KAFKA_HOME is set, but {} does not exist", tool.display());
    Some(home)
}

/// Kafka's own distribution has the ending, some packages of it have not.
fn script(home: &std::path::Path, tool: &str) -> PathBuf {
    let plain = home.join("bin").join(tool);
    if plain.exists() { plain } else { home.join("bin").join(format!("{tool}.sh")) }
}

pub struct Tools {
    home: PathBuf,
    bootstrap: String,
}

/// What a tool printed, on stdout and then on stderr.
pub struct Said {
    pub command: String,
    pub output: String,
}

impl Tools {
    pub fn new(home: PathBuf, bootstrap: &str) -> Tools {
        Tools { home, bootstrap: bootstrap.to_string() }
    }

    /// Runs a tool against the cluster; it has to succeed without an error in its output.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> Said {
        self.run_with_input(tool, arguments, "")
    }

    pub fn run_with_input(&self, tool: &str, arguments: &[&str], input: &str) -> Said {
        let arguments = [&["--bootstrap-server", &self.bootstrap], arguments].concat();
        let (success, said) = self.start(tool, &arguments, input);
        assert!(success, "{}: it failed:\n{}", said.command, said.output);
        said.says_not("ERROR").says_not("Exception");
        said
    }

    /// The tool has to fail, with this in its output.
    pub fn refuses(&self, tool: &str, arguments: &[&str], message: &str) {
        let arguments = [&["--bootstrap-server", &self.bootstrap], arguments].concat();
        let (success, said) = self.start(tool, &arguments, "");
        assert!(!success, "{}: it succeeded:\n{}", said.command, said.output);
        said.says(message);
    }

    /// Runs a tool that works without a cluster.
    pub fn run_offline(&self, tool: &str, arguments: &[&str]) -> Said {
        let (success, said) = self.start(tool, arguments, "");
        assert!(success, "{}: it failed:\n{}", said.command, said.output);
        said
    }

    fn start(&self, tool: &str, arguments: &[&str], input: &str) -> (bool, Said) {
        let mut child = Command::new(script(&self.home, tool))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{tool}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("a tool that reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("a tool that ends");
        let text = [output.stdout, output.stderr].concat();
        let command = format!("{tool} {}", arguments.join(" "));
        let output_text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), Said { command, output: output_text })
    }
}

impl Said {
    pub fn says(&self, expected: &str) -> &Said {
        assert!(
            self.output.contains(expected),
            "{}: not in its output: {expected:?}\n{}",
            self.command,
            self.start_of_output()
        );
        self
    }

    pub fn says_not(&self, unexpected: &str) -> &Said {
        let line = self.output.lines().find(|line| line.contains(unexpected));
        assert_eq!(line, None, "{}: in its output", self.command);
        self
    }

    /// The first line that contains this.
    pub fn line(&self, part: &str) -> &str {
        let line = self.output.lines().find(|line| line.contains(part));
        line.unwrap_or_else(|| {
            panic!("{}: no line with {part:?} in:\n{}", self.command, self.start_of_output())
        })
    }

    /// The line of a table that begins with these fields.
    pub fn table_line(&self, fields: &[&str]) -> &str {
        let begins =
            |line: &&str| line.split_whitespace().take(fields.len()).eq(fields.iter().copied());
        let line = self.output.lines().find(begins);
        line.unwrap_or_else(|| {
            panic!("{}: no line {fields:?} in:\n{}", self.command, self.start_of_output())
        })
    }

    fn start_of_output(&self) -> String {
        self.output.chars().take(4_000).collect()
    }
}
