//! Questions on the terminal.

use std::io::{self, BufRead, Write};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::base::failure::Failure;

/// One line; `default` where nothing is typed.
pub fn line(question: &str, default: &str) -> Result<String, Failure> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let answer = read(&format!("{question}{shown}: ")).map_err(failed)?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

/// One line that the terminal does not show.
pub fn secret(question: &str) -> Result<SecretString, Failure> {
    loop {
        let answer = Zeroizing::new(rpassword::prompt_password(format!("{question}: ")).map_err(failed)?);
        match answer.trim() {
            "" => println!("  without its secret the access key is of no use"),
            secret => return Ok(SecretString::from(secret)),
        }
    }
}

fn read(prompt: &str) -> io::Result<Zeroizing<String>> {
    print!("{prompt}");
    io::stdout().flush()?;
    let mut answer = Zeroizing::new(String::with_capacity(4096));
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal was closed"));
    }
    Ok(answer)
}

fn failed(error: io::Error) -> Failure {
    Failure::failed(error).while_doing("asking")
}
