//! `#[derive(Credentials)]`: a struct whose fields are secrets.
//!
//! Pure. What is derived is `coffer_resolver::LoadCredentials`, which says how it is used.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericArgument, LitStr, PathArguments, Result, Type};

/// Loads a struct's fields by their names in large letters; `#[credentials(prefix = "TWITTER_")]` on the struct puts
/// something before each, and `#[credential(name = "X_API_KEY")]` on a field says another name. A field of type `Option` need not
/// be there.
#[proc_macro_derive(Credentials, attributes(credential, credentials))]
pub fn derive_credentials(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "credentials are the fields of a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "credentials are fields with names"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "credentials have no parameters"));
    }
    let prefix = value_of(&input.attrs, "credentials", "prefix")?;
    let prefix = prefix.map(|prefix| prefix.value()).unwrap_or_default();
    let mut names = Vec::new();
    let mut readings = Vec::new();
    let mut idents = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let name = name_of(field, &prefix)?;
        readings.push(match inside_option(&field.ty) {
            Some(inner) => quote! { ::coffer_resolver::typed::optional::<#inner>(&mut walks, #name) },
            None => {
                let whole = &field.ty;
                quote! { ::coffer_resolver::typed::required::<#whole>(&mut walks, #name) }
            }
        });
        names.push(name);
        idents.push(ident);
    }
    let of = &input.ident;
    Ok(quote! {
        impl ::coffer_resolver::LoadCredentials for #of {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn of_walks(
                mut walks: ::coffer_resolver::typed::Walks,
            ) -> ::core::result::Result<Self, ::coffer_resolver::Problems> {
                #(let #idents = #readings;)*
                match (#(#idents,)*) {
                    (#(::core::option::Option::Some(#idents),)*) if walks.are_well() => {
                        ::core::result::Result::Ok(Self { #(#idents),* })
                    }
                    _ => ::core::result::Result::Err(walks.into_problems()),
                }
            }
        }
    })
}

fn name_of(field: &Field, prefix: &str) -> Result<String> {
    let literal = value_of(&field.attrs, "credential", "name")?;
    let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let plain = ident.strip_prefix("r#").unwrap_or(&ident).to_ascii_uppercase();
    let name = literal.as_ref().map_or_else(|| format!("{prefix}{plain}"), LitStr::value);
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if is_name {
        return Ok(name);
    }
    let message = "a name is letters, digits and _, not beginning with a digit";
    Err(match literal {
        Some(literal) => Error::new_spanned(literal, message),
        None => Error::new_spanned(field, message),
    })
}

/// `key = "…"` in the attribute, if it is there; anything else in it is an error.
fn value_of(attributes: &[syn::Attribute], attribute: &str, key: &str) -> Result<Option<LitStr>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|known| known.path().is_ident(attribute)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident(key) {
                return Err(meta.error(format!("write {key} = \"…\"")));
            }
            found = Some(meta.value()?.parse::<LitStr>()?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// What an `Option` is of.
fn inside_option(kind: &Type) -> Option<&Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}
