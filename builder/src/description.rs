//! A vault's description is signed: who can write to a vault must not be able to add himself to those who can open it.
//!
//! A reader takes a description that was signed, at the time that it states, by somebody whose signature counts. Whoever is about to seal new
//! runs asks for more: unless it is the one that this host accepted before, its signer must count *now*. So the thief of a retired
//! key cannot slip in a description with an earlier date. A description older than the one that this host knows is a rollback.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use manifest::{Digest, HostKey, SignatureError, Signer, check_description, sign_description};
use vault::{Described, Description, Holder, InitOptions, Store, Vault};

use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity::Recovered;
use crate::state::{KnownDescription, State};

/// Makes a vault in an empty store, its description signed by `key`, and remembers it.
///
/// # Errors
/// When the store cannot be written.
pub fn init(
    state: &State,
    store: Arc<dyn Store>,
    key: &HostKey,
    recovered: &Recovered,
    options: &InitOptions,
) -> anyhow::Result<Vault> {
    let description = Description::first(options, recovered.holders.clone(), Timestamp::now().to_string())?;
    let signature = sign_description(key, &description.to_bytes()?)?;
    let vault = Vault::init_described(store, &description, Some(&signature))?;
    if let Some((name, file)) = &recovered.sealed {
        vault.put_sealed_identity(name, file)?;
    }
    remember(state, &vault)?;
    Ok(vault)
}

/// Puts other recipients into force. The caller holds the vault's lock and has checked the present description for writing.
///
/// # Errors
/// When no recipient would be left (30), or the vault cannot be written.
pub fn change(state: &State, vault: &Vault, key: &HostKey, holders: Vec<Holder>) -> anyhow::Result<Vault> {
    if holders.is_empty() {
        return Err(refusal(
            Exit::Guard,
            "the last recipient cannot be removed: nobody could open the runs to come; add another one first",
        ));
    }
    let next = vault.described().next(holders, Timestamp::now().to_string())?;
    let signature = sign_description(key, &next.to_bytes()?)?;
    let vault = vault.describe(&next, &signature)?;
    remember(state, &vault)?;
    Ok(vault)
}

/// Whether the description may be believed by somebody who reads.
///
/// # Errors
/// Exit 20 when it is not signed by somebody who counts, 22 when this host knows a later one.
pub fn check_for_reading(context: &Context, vault: &Vault, trusted: &[Signer]) -> anyhow::Result<()> {
    let stated = vault.described().description.created.parse();
    // Without a time that can be read, a key that was retired does not count.
    check(&context.state, vault, trusted, stated.unwrap_or(Timestamp::MAX))
}

/// Whether runs may be sealed to its recipients; what was accepted is remembered.
///
/// # Errors
/// As [`check_for_reading`].
pub fn check_for_writing(context: &Context, vault: &Vault) -> anyhow::Result<()> {
    check(&context.state, vault, &context.state.trusted()?, Timestamp::now())
        .context("nothing was written to the vault")?;
    remember(&context.state, vault)
}

fn check(state: &State, vault: &Vault, trusted: &[Signer], time: Timestamp) -> anyhow::Result<()> {
    let described = vault.described();
    let object = described.description.object();
    let known = state.description(vault.id())?;
    let number = described.description.number;
    if let Some(known) = known.as_ref().filter(|known| known.number > number) {
        let message = format!(
            "{object} is the vault's description number {number}, and this host knows of number {}: recipients were taken back",
            known.number
        );
        return Err(refusal(Exit::RolledBack, message));
    }
    let missing = || {
        refusal(
            Exit::Signature,
            format!(
                "{object} has no signature ({object}.sig): nobody answers for the recipients in it; see docs/KEYS.md"
            ),
        )
    };
    let signature = vault.description_signature()?.ok_or_else(missing)?;
    match check_description(trusted, &described.json, &signature, time) {
        Ok(_) => {}
        // A key that does not count any more, or one of another host that was accepted once: what it signed then is known by its digest.
        Err(SignatureError::Stranger(_) | SignatureError::Limit { .. })
            if known.as_ref().is_some_and(|known| known.digest == digest(described)) => {}
        Err(error) => {
            return Err(error).with_context(|| {
                format!("{object}, which names the recipients (a host whose key counts can sign it again: `lifeboat key confirm`)")
            });
        }
    }
    if known.is_some_and(|known| known.number == number && known.digest != digest(described)) {
        return Err(refusal(
            Exit::Signature,
            format!("{object} is another one than this host accepted under the same number: it was replaced"),
        ));
    }
    Ok(())
}

fn remember(state: &State, vault: &Vault) -> anyhow::Result<()> {
    let described = vault.described();
    let known = KnownDescription { number: described.description.number, digest: digest(described) };
    if state.description(vault.id())?.as_ref() == Some(&known) {
        return Ok(());
    }
    state.set_description(vault.id(), &known)
}

fn digest(described: &Described) -> Digest {
    Digest::of(&described.json)
}
