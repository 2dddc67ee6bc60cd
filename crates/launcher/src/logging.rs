//! How Kafka logs: lines on standard output.
//!
//! Kafka 4 logs through Log4j 2, older releases through reload4j, which is Log4j 1.
//! Each reads a file of its own, and says nothing at all without it.

use std::fmt::Write as _;
use std::path::Path;

/// When, how grave, of which class, and what.
const PATTERN: &str = "%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1} %m%n";

/// One of the two libraries.
struct Library {
    /// Name of its file.
    file: &'static str,
    /// The system property that names the file.
    property: &'static str,
    /// What comes before the file's path there.
    scheme: &'static str,
    /// What the file says, given loggers with their levels.
    text: fn(&[(String, String)]) -> String,
}

const LIBRARIES: [Library; 2] = [
    Library {
        file: "log4j2.properties",
        property: "log4j2.configurationFile",
        scheme: "",
        text: log4j2,
    },
    Library {
        file: "log4j.properties",
        property: "log4j.configuration",
        scheme: "file:",
        text: log4j1,
    },
];

/// The files and what they say, given loggers with their levels.
pub fn files(levels: &[(String, String)]) -> impl Iterator<Item = (&'static str, String)> {
    LIBRARIES.iter().map(|one| (one.file, (one.text)(levels)))
}

/// Java's arguments, given the files' folder.
pub fn flags(folder: &Path) -> impl Iterator<Item = String> {
    LIBRARIES.iter().map(|one| {
        let file = folder.join(one.file);
        format!("-D{}={}{}", one.property, one.scheme, file.display())
    })
}

fn log4j2(levels: &[(String, String)]) -> String {
    let mut out = format!(
        "appender.out.type=Console\nappender.out.name=out\n\
         appender.out.layout.type=PatternLayout\nappender.out.layout.pattern={PATTERN}\n\
         rootLogger.level=INFO\nrootLogger.appenderRef.out.ref=out\n"
    );
    for (i, (logger, level)) in levels.iter().enumerate() {
        let _ = writeln!(out, "logger.l{i}.name={logger}\nlogger.l{i}.level={level}");
    }
    out
}

fn log4j1(levels: &[(String, String)]) -> String {
    let mut out = format!(
        "log4j.rootLogger=INFO, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.out.layout.ConversionPattern={PATTERN}\n"
    );
    for (logger, level) in levels {
        let _ = writeln!(out, "log4j.logger.{logger}={level}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_libraries_get_the_levels_and_each_its_file() {
        let levels = [("kafka.request".to_owned(), "WARN".to_owned())];
        let files: Vec<_> = files(&levels).collect();
        let flags: Vec<_> = flags(Path::new("/run")).collect();
        assert!(
            files[0]
                .1
                .contains("logger.l0.name=kafka.request\nlogger.l0.level=WARN\n")
        );
        assert!(files[1].1.contains("log4j.logger.kafka.request=WARN\n"));
        for ((file, _), flag) in files.iter().zip(flags) {
            assert!(flag.ends_with(&format!("/run/{file}")), "{flag}");
        }
    }
}
