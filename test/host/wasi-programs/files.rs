// What programs do with files, by Rust's standard library. Prints what it found; ends with 1 through `wasi:cli/exit`.
use std::fs;
use std::io::{BufRead, Read, Seek, SeekFrom, Write};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    println!("args {:?}", &args[1..]);
    println!("env {:?}", std::env::var("GREETING").ok());
    let dir = &args[1];
    fs::create_dir_all(format!("{dir}/a/b"))?;
    let path = format!("{dir}/a/b/f.txt");
    let mut file = fs::File::create(&path)?;
    file.write_all(b"hello ")?;
    file.write_all(b"world")?;
    file.sync_all()?;
    drop(file);
    fs::OpenOptions::new().append(true).open(&path)?.write_all(b"!")?;
    let mut file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
    file.seek(SeekFrom::Start(6))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    println!("read {text}");
    file.set_len(5)?;
    println!("length {}", file.metadata()?.len());
    fs::copy(&path, format!("{dir}/copy"))?;
    fs::rename(format!("{dir}/copy"), format!("{dir}/moved"))?;
    fs::hard_link(format!("{dir}/moved"), format!("{dir}/linked"))?;
    println!("linked {}", fs::read_to_string(format!("{dir}/linked"))?);
    let mut names: Vec<String> = fs::read_dir(dir)?.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    println!("names {names:?}");
    fs::remove_file(format!("{dir}/linked"))?;
    fs::remove_dir_all(format!("{dir}/a"))?;
    println!("removed {}", fs::metadata(format!("{dir}/a")).is_err());
    for out in ["../secret.txt", "way-out", "../../../../etc/passwd"] {
        println!("out {}", fs::read_to_string(format!("{dir}/{out}")).is_err());
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    println!("stdin {}", line.trim());
    eprintln!("done");
    std::process::exit(1)
}
