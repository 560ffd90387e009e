//! A form decoded as operations of IAM and STS.
#![no_main]

use coffer_core::ops::iam::*;
use coffer_core::ops::sts::*;
use coffer_wire_aws::query::FromQuery;
use coffer_wire_aws::query::parameters::Parameters;
use libfuzzer_sys::fuzz_target;

fn decode<O: FromQuery>(body: &[u8]) {
    let _ = Parameters::parse(body).and_then(O::from_query);
}

fuzz_target!(|body: &[u8]| {
    decode::<CreateUser>(body);
    decode::<CreateRole>(body);
    decode::<CreatePolicy>(body);
    decode::<PutPolicy<OfGroup>>(body);
    decode::<TagEntity<OfPolicy>>(body);
    decode::<UntagEntity<OfRole>>(body);
    decode::<SetDefaultPolicyVersion>(body);
    decode::<ListEntitiesForPolicy>(body);
    decode::<CreateAccountAlias>(body);
    decode::<UpdateAccessKey>(body);
    decode::<AssumeRole>(body);
    decode::<GetSessionToken>(body);
    decode::<DecodeAuthorizationMessage>(body);
    decode::<SimulateCustomPolicy>(body);
    decode::<SimulatePrincipalPolicy>(body);
    decode::<ListPoliciesGrantingServiceAccess>(body);
});
