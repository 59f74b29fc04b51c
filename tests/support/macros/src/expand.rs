//! What a test becomes: the function as written, inside one that sets everything up around it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Ident, ItemFn, Result, ReturnType, Type};

use crate::options::{Flavor, Options};

/// Expands one test.
pub(crate) fn test(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    refuse_parameters(function)?;
    let run = match function.sig.asyncness {
        Some(_) => asynchronous(options, &function.sig.ident),
        None => synchronous(options, &function.sig.ident)?,
    };
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    let name = &sig.ident;
    // libtest takes an exit code for an answer, except where `should_panic` wants none.
    let (output, end) = match returns_nothing(&sig.output) {
        true => (quote!(), quote!(;)),
        false => (quote!(-> ::std::process::ExitCode), quote!()),
    };
    // Attributes stay outside: `should_panic` belongs there, and lint levels reach the body.
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() #output {
            #sig #block
            let test = ::silo::run::Test::new(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::module_path!(),
                ::core::stringify!(#name),
            );
            #run #end
        }
    })
}

fn refuse_parameters(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if sig.inputs.is_empty() && sig.generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(sig, "a test takes no parameters"))
}

fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, written) => {
            matches!(written.as_ref(), Type::Tuple(tuple) if tuple.elems.is_empty())
        }
    }
}

fn asynchronous(options: &Options, name: &Ident) -> TokenStream {
    let flavor = match options.flavor() {
        Flavor::CurrentThread => {
            let paused = options
                .start_paused
                .as_ref()
                .is_some_and(|paused| paused.value);
            quote!(::silo::run::Flavor::CurrentThread { start_paused: #paused })
        }
        Flavor::MultiThread => {
            let count = options.worker_threads.as_ref().map_or_else(
                || quote!(::core::option::Option::None),
                |count| quote!(::core::option::Option::Some(#count)),
            );
            quote!(::silo::run::Flavor::MultiThread { worker_threads: #count })
        }
    };
    quote!(test.run_async(#flavor, #name))
}

fn synchronous(options: &Options, name: &Ident) -> Result<TokenStream> {
    match options.first {
        Some(span) => Err(Error::new(
            span,
            "only an `async fn` has a runtime to configure",
        )),
        None => Ok(quote!(test.run(#name))),
    }
}
