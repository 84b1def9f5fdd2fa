import{p as r}from"./Km52oAkN.js";const t={get error(){return r.error},get route(){return r.route},get status(){return r.status}},o=t;export{o as p};
